"""Runs and steps as tests look at them. Everything is read from the store when it is asked for."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stepserve.testing.errors import NoRunError, UnknownStepError
from stepserve_core import Event
from stepserve_core.executor.histories import build_history
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.steps import AttemptRow, StepRow
from stepserve_core.history import EXECUTED_OPS, History
from stepserve_core.testing import decode_event

if TYPE_CHECKING:
    from stepserve.testing.session import Session

_RAW_MEMOS = frozenset({"Sleep", "Step", "WaitForEvent"})
"""Opcodes whose memo is the value itself, and not wrapped (executor.md 5.4)."""


class RunError(NamedTuple):
    """What a run or a step failed with, as the server keeps it."""

    name: str
    message: str
    stack: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class StepRecord(NamedTuple):
    """A step of a run.

    Args:
        id: as the function wrote it.
        op: what it is on the wire, such as "StepRun" or "WaitForEvent".
        status: "Queued", "Sleeping", "Waiting", "Invoking", "Completed", "Failed", "TimedOut" or "Cancelled".
        attempts: how often it was tried so far.
        output: what it returned, as JSON has it; None while it has not.
        error: what it failed with, for good or in its last attempt.
        duration: the virtual time from when it was first asked for, or its last attempt began, to its end.
        hash: its id on the wire.
    """

    id: str
    op: str
    status: str
    attempts: int
    output: Any
    error: RunError | None
    duration: datetime.timedelta | None
    hash: str


class Run:
    """A run: of an event that was sent, or one of `h.runs`. It says how things stand when it is asked."""

    def __init__(self, session: Session, description: str, find: Callable[[], list[RunRow]]) -> None:
        self._session = session
        self._description = description
        self._find = find

    def __repr__(self) -> str:
        rows = self._find()
        if len(rows) != 1:
            return f"<Run of {self._description}: {len(rows)} runs>"
        steps = ", ".join(f"{step.id} {step.status}" for step in self.steps) or "no steps"
        return f"<Run {self.function_id} {self.status}: {steps}>"

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._row().id

    @property
    def function_id(self) -> str:
        """The id of its function, as `fn_id=` has it; with "-failure" or "-cancel" for the handlers of those."""
        return self._session.local_id(self._row().function_id)

    @property
    def status(self) -> str:
        """ "Scheduled", "Running", "Completed", "Failed", "Cancelled" or "Skipped"."""
        return self._row().status

    @property
    def output(self) -> Any:
        """What the function returned, as JSON has it; None while it has not."""
        row = self._row()
        return _decode(row.output) if row.status == "Completed" else None

    @property
    def error(self) -> RunError | None:
        """What it failed with or was cancelled for; None otherwise."""
        row = self._row()
        return _error(row.output) if row.status in ("Failed", "Cancelled") else None

    @property
    def event(self) -> Event[Any]:
        """The event that started it, the first one of a batch."""
        return self.events[0]

    @property
    def events(self) -> list[Event[Any]]:
        """The events that started it."""
        run_id = self._row().id
        return [decode_event(event.body, Event) for event in self._session.look(lambda t: t.events.of_run(run_id))]

    @property
    def started_at(self) -> datetime.datetime | None:
        """When the function was first called, by the virtual clock."""
        return _moment(self._row().started_at)

    @property
    def ended_at(self) -> datetime.datetime | None:
        """When it ended, by the virtual clock."""
        return _moment(self._row().ended_at)

    @property
    def steps(self) -> list[StepRecord]:
        """Its steps, in the order in which the server first heard of them."""
        run_id = self._row().id
        rows, attempts = self._session.look(lambda t: (t.steps.rows(run_id), t.steps.attempts(run_id)))
        return [_record(row, [one for one in attempts if one.hash == row.hash]) for row in rows]

    def step(self, step_id: str, index: int = 0) -> StepRecord:
        """Return a step by its id; `index` counts the repeats of an id that is used more than once.

        Raises:
            UnknownStepError: the run has not come to such a step.
        """
        steps = self.steps
        found = [step for step in steps if step.id == step_id]
        if index < len(found):
            return found[index]
        if found:
            raise UnknownStepError(f"{self!r} has the step {step_id!r} only {len(found)} times, not at index {index}")
        names = ", ".join(dict.fromkeys(repr(step.id) for step in steps)) or "none"
        raise UnknownStepError(
            f"the run of {self.function_id!r} ({self.status}) has no step {step_id!r}; known: {names}"
        )

    def history(self) -> History:
        """Return what the run did, for `assert_replays`; `to_json()` of it is what `stepserve export` writes."""
        run_id = self._row().id
        history = self._session.look(lambda tables: build_history(tables, run_id))
        assert history is not None
        return history

    def _row(self) -> RunRow:
        rows = self._find()
        if len(rows) == 1:
            return rows[0]
        if rows:
            functions = ", ".join(repr(self._session.local_id(row.function_id)) for row in rows)
            raise NoRunError(
                f"{self._description} started {len(rows)} runs, of {functions}; find the one you mean in h.runs"
            )
        raise NoRunError(f"{self._description} has started no run{self._session.why_no_run()}")


def _record(row: StepRow, attempts: list[AttemptRow]) -> StepRecord:
    value, error = None, None
    if row.memo is not None:
        memo = _decode(row.memo)
        if row.op in _RAW_MEMOS or not isinstance(memo, dict):
            value = memo
        elif "error" in memo:
            error = _to_error(memo["error"])
        else:
            value = memo.get("data")
    elif attempts:
        error = _error(attempts[-1].error)
    begun = row.queued_at if row.started_at is None else row.started_at
    duration = None if row.ended_at is None else datetime.timedelta(seconds=row.ended_at - begun)
    tries = len(attempts) if row.memo is None else row.attempt + 1
    op = "StepRun" if row.op in EXECUTED_OPS else row.op
    return StepRecord(row.name, op, row.status, tries, value, error, duration, row.hash)


def _decode(text: bytes | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _error(text: bytes | None) -> RunError | None:
    return None if text is None else _to_error(_decode(text))


def _to_error(value: Any) -> RunError:
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    if not isinstance(value, dict):
        return RunError("Error", str(value))
    return RunError(str(value.get("name") or "Error"), str(value.get("message") or ""), value.get("stack"))


def _moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
