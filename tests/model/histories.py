"""Histories, of the model and of a store, in the same form."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.steps import AttemptRow, StepRow
from stepserve_core.executor.store.tables import Tables
from stepserve_core.history import EXECUTED_OPS
from tests.model.simulation import OPS, Model, Run, Step, is_executed

_OF_FUNCTIONS = ("LookupError", "NonRetriableError", "RetryAfterError")
"""What attempts of functions fail with, and not of steps."""


class StepHistory(NamedTuple):
    """A step. Attempts are those of steps that are executed; of what was sent, only the number is known."""

    op: str
    status: str
    attempts: int
    output: Any
    error: str | None
    ended_at: float | None


class RunHistory(NamedTuple):
    """A run, with its steps by their hashed ids."""

    status: str
    output: Any
    error: str | None
    ended_at: float | None
    steps: dict[str, StepHistory]


def expected(model: Model) -> dict[str, RunHistory]:
    """Return the history of each run by its key."""
    return {key: _of_model(run) for key, run in model.runs.items()}


def settled(history: dict[str, RunHistory], other: dict[str, RunHistory]) -> dict[str, RunHistory]:
    """Return a history without what a race decides: the steps under way when an attempt of the function ended its run.

    Whether such a step ended before that, at the same moment, is not determined.
    """
    return {
        key: run._replace(steps=_without_races(run, other[key])) if run.error in _OF_FUNCTIONS and key in other else run
        for key, run in history.items()
    }


def _without_races(run: RunHistory, other: RunHistory) -> dict[str, StepHistory]:
    ended = [(run.ended_at, "Cancelled"), (other.ended_at, "Cancelled")]
    races = {
        hashed
        for steps in (run.steps, other.steps)
        for hashed, step in steps.items()
        if step.op == "StepRun" and (step.ended_at, step.status) in ended
    }
    return {hashed: step for hashed, step in run.steps.items() if hashed not in races}


def _of_model(run: Run) -> RunHistory:
    steps = {hashed: _of_step(step) for hashed, step in run.steps.items() if step.is_known}
    return RunHistory(run.status, run.output, run.error, run.ended_at, steps)


def _of_step(step: Step) -> StepHistory:
    op = OPS[type(step.asked.statement)]
    attempts = step.attempts if is_executed(step) else 0
    return StepHistory(op, step.status, attempts, step.output, step.error, step.ends_at)


def recorded(tables: Tables) -> dict[str, RunHistory]:
    """Return the same of a store."""
    return {key_of(tables, row.id): _of_row(tables, row) for row in tables.runs.all()}


def run_ids(tables: Tables) -> dict[str, str]:
    """Return the id of each run by its key."""
    return {key_of(tables, row.id): row.id for row in tables.runs.all()}


def key_of(tables: Tables, run_id: str) -> str:
    """Return the key of a run: what the event that started it says."""
    (event,) = tables.events.of_run(run_id)
    key: str = msgspec.json.decode(event.body)["data"]["key"]
    return key


def _of_row(tables: Tables, row: RunRow) -> RunHistory:
    output = None if row.output is None else msgspec.json.decode(row.output)
    attempts = tables.steps.attempts(row.id)
    steps = {
        step.hash: _of_step_row(step, [one for one in attempts if one.hash == step.hash])
        for step in tables.steps.rows(row.id)
    }
    is_failed = row.status in ("Failed", "Cancelled")
    return RunHistory(
        row.status, None if is_failed else output, _name(output) if is_failed else None, row.ended_at, steps
    )


def _of_step_row(row: StepRow, attempts: list[AttemptRow]) -> StepHistory:
    op = "StepRun" if row.op in EXECUTED_OPS else row.op
    output, error = None, None
    if row.memo is not None:
        output, error = _read(op, msgspec.json.decode(row.memo))
    tries = 0
    if op == "StepRun":
        # Where the function itself failed before, the step's first attempt is not the first one.
        latest = max((one.attempt for one in attempts), default=-1) if row.memo is None else row.attempt
        tries = latest + 1
    return StepHistory(op, row.status, tries, output, error, row.ended_at)


def _read(op: str, memo: Any) -> tuple[Any, str | None]:
    if op == "WaitForEvent":
        return (None if memo is None else memo["data"]["n"]), None
    if not isinstance(memo, dict):
        return memo, None
    if "error" in memo:
        return None, _name(memo["error"])
    output: Any = memo.get("data")
    return (len(output) if op == "StepRun" and isinstance(output, list) else output), None


def _name(error: Any) -> str | None:
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    return error.get("name") if isinstance(error, dict) else None
