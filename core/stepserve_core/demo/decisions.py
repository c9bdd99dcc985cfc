"""What the demo concludes from the runs it sees. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from stepserve_core.cli.timeline import Run
from stepserve_core.demo.expected import EVENTS, TIMER, WAITING_FUNCTION, WAITING_STEP, ExpectedRun

_WAITING = "Waiting"


def is_settlement_due(runs: Sequence[Run], app_ids: Sequence[str]) -> bool:
    """Say whether the order of every app waits for its payment; one that has ended before waits for nothing."""
    orders = {run.function: run for run in runs}
    found = [orders.get(f"{app_id}-{WAITING_FUNCTION}") for app_id in app_ids]
    going_on = [order for order in found if order is None or not order.has_ended]
    return bool(going_on) and all(order is not None and _waits(order) for order in going_on)


def is_over(runs: Sequence[Run], expected: Sequence[ExpectedRun]) -> bool:
    """Say whether all runs have ended, those among them that the demo itself asked for: then no more will come.

    The runs that others cause are there before those have ended, since each is stored with the event that starts it.
    """
    asked_for = {*(name for name, _ in EVENTS), TIMER}
    wanted = {run.function for run in expected if run.times and run.event in asked_for}
    return wanted <= {run.function for run in runs} and all(run.has_ended for run in runs)


def _waits(run: Run) -> bool:
    step = run.step(WAITING_STEP)
    return step is not None and step.status == _WAITING
