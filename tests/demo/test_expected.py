"""What the demo declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepserve_core.demo.apps import APPS, examples_folder
from stepserve_core.demo.expected import STARTING_EVENTS, expected_runs


def test_every_app_hears_the_completed_orders_of_every_app() -> None:
    """The event is the same in all of them."""
    times = {run.function: run.times for run in expected_runs(["a", "b"])}

    assert (2, 2) == (times["a-order-completed"], times["b-order-completed"])
    assert (1, 1) == (times["a-process-order"], times["b-process-order"])
    assert (0, 0) == (times["a-big-order"], times["b-big-order"])


@pytest.mark.parametrize("framework", APPS)
def test_every_function_of_the_examples_is_declared(framework: str) -> None:
    """And no others, but for the companion that an on_failure handler gets."""
    source = Path(examples_folder(), framework, "app.py").read_text()
    functions = {f"{APPS[framework].app_id}-{name}" for name in re.findall(r'fn_id="([\w-]+)"', source)}
    companion = f"{APPS[framework].app_id}-refund-failure"

    assert f'app_id="{APPS[framework].app_id}"' in source
    assert functions | {companion} == {run.function for run in expected_runs([APPS[framework].app_id])}


def test_all_events_that_start_runs_are_looked_up() -> None:
    """Each once, and after those whose runs send it."""
    assert (
        "shop/order.created",
        "inngest/function.invoked",
        "shop/order.completed",
        "shop/report.requested",
        "shop/quotes.requested",
        "shop/refund.requested",
        "inngest/function.failed",
        "inngest/scheduled.timer",
    ) == STARTING_EVENTS
