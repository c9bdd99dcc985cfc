"""What the executor tells about a run, as people and comparisons want it: steps, their attempts, results. No I/O."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUN, SLEEP, WAIT, INVOKE, AI = "step.run", "step.sleep", "step.wait_for_event", "step.invoke", "step.ai"

_KINDS = {"Sleep": SLEEP, "WaitForEvent": WAIT, "InvokeFunction": INVOKE, "AIGateway": AI}
"""By opcode. The others, whether planned, failed or done, are of `step.run` and what is built on it."""

_FUNCTION = "Finalization"
_ENDED = frozenset({"Completed", "Failed", "Cancelled", "Skipped", "Overflowed"})


@dataclass(frozen=True)
class Attempt:
    """One try of a step or of the function. `number` counts from 1."""

    number: int
    status: str
    duration_ms: float | None = None
    error: Any = None


@dataclass(frozen=True)
class Step:
    """A step. Sleeps, waits and invocations have no attempts: nothing of theirs is tried.

    `started_at` (Unix seconds) is when its first attempt began, `duration_ms` the time from then to the result.
    `until` (Unix seconds) is when a sleep or a wait ends at the latest, or the next attempt begins; `waits_for` names
    the event, the signal or the function.
    """

    name: str
    kind: str
    status: str
    attempts: tuple[Attempt, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    output: Any = None
    error: Any = None
    until: float | None = None
    waits_for: str | None = None

    @property
    def duration_ms(self) -> float | None:
        """From the first attempt to the result, waits between attempts included; None while it goes on."""
        return _between(self.started_at, self.ended_at)


@dataclass(frozen=True)
class Run:
    """A run. `function` is the slug `<app id>-<function id>`; `event` the name of what started it.

    `attempts` are those of the function outside its steps: the failed ones, and the one that ended the run.
    """

    id: str
    function: str
    event: str
    status: str
    started_at: float | None = None
    ended_at: float | None = None
    output: Any = None
    steps: tuple[Step, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in _ENDED

    @property
    def duration_ms(self) -> float | None:
        """From the first call to the end, or None while it goes on."""
        return _between(self.started_at, self.ended_at)

    def step(self, name: str) -> Step | None:
        """Return the first step of this name."""
        return next((step for step in self.steps if step.name == name), None)


def read_run(trace: Mapping[str, Any], event: str) -> Run:
    """Return the run of a `GET /v2/runs/{id}/trace` answer; `event` is the name of its trigger."""
    run = trace["run"]
    entries: list[Mapping[str, Any]] = trace["steps"]
    own = next((entry for entry in entries if entry["op"] == _FUNCTION), None)
    due = _next_attempts(trace.get("calls", []), entries)
    return Run(
        id=run["run_id"],
        function=trace["function"],
        event=event,
        status=run["status"],
        started_at=_moment(run["run_started_at"]),
        ended_at=_moment(run["ended_at"]),
        output=run["output"],
        steps=tuple(_read_step(entry, due.get(entry["id"])) for entry in entries if entry is not own),
        attempts=() if own is None else _read_attempts(own),
    )


def _next_attempts(calls: list[Mapping[str, Any]], entries: list[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return when steps are tried again, by id. A call that names no step is about the last one that failed."""
    failed = [
        entry["id"] for entry in entries if entry["op"] != _FUNCTION and entry["attempts"] and not entry["ended_at"]
    ]
    again = [call for call in calls if call["attempt"] and call["state"] == "waiting"]
    return {call["step"] or failed[-1]: _moment(call["due_at"]) for call in again if call["step"] or failed}


def _read_step(entry: Mapping[str, Any], due: float | None) -> Step:
    first = (entry["attempts"] or [entry])[0]
    detail = {} if entry["ended_at"] else entry.get("detail", {})
    return Step(
        name=entry["name"],
        kind=_KINDS.get(entry["op"], RUN),
        status=entry["status"],
        attempts=_read_attempts(entry),
        started_at=_moment(first["started_at"]),
        ended_at=_moment(entry["ended_at"]),
        output=entry.get("output"),
        error=entry.get("error"),
        until=due or detail.get("until") or detail.get("expires_at"),
        waits_for=detail.get("event") or detail.get("signal") or detail.get("function"),
    )


def _read_attempts(entry: Mapping[str, Any]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(attempt["attempt"] + 1, attempt["status"], attempt["duration_ms"], attempt.get("error"))
        for attempt in entry["attempts"]
    )


def _moment(text: str | None) -> float | None:
    """Read a date as the executor writes it, with milliseconds and in UTC; Python 3.10 does not know the Z."""
    return None if text is None else datetime.datetime.fromisoformat(text.removesuffix("Z") + "+00:00").timestamp()


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)
