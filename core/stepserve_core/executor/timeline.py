"""The timeline of a run: its steps and attempts as JSON-ready values. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.store.steps import AttemptRow, StepRow

FUNCTION = "Finalization"
"""The entry that stands for the function itself: its failed attempts, and the one that ended the run."""

_WAITING_OPS = frozenset({"Sleep", "WaitForEvent", "WaitForSignal", "InvokeFunction"})


def build_steps(steps: list[StepRow], attempts: list[AttemptRow]) -> list[dict[str, Any]]:
    """Return the entries of a timeline in the order in which they began."""
    by_step: dict[str, list[AttemptRow]] = {}
    for attempt in attempts:
        by_step.setdefault(attempt.hash, []).append(attempt)
    entries = [_step_entry(step, by_step.get(step.hash, [])) for step in sorted(steps, key=_began_at)]
    own = by_step.get("", [])
    if own:
        entries.append(_function_entry(own))
    return entries


def unwrap(memo: bytes | None) -> tuple[str, Any]:
    """Return ("output", value) or ("error", value) of a memo (executor.md 4.4, last paragraph)."""
    value: Any = None if memo is None else msgspec.json.decode(memo)
    if isinstance(value, dict) and "name" not in value:
        fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] - objects of JSON have string keys
        if "error" in fields:
            return "error", fields["error"]
        if "data" in fields:
            return "output", fields["data"]
    return "output", value  # pyright: ignore[reportUnknownVariableType] - JSON


def _began_at(step: StepRow) -> float:
    return step.queued_at if step.started_at is None else step.started_at


def _step_entry(step: StepRow, failed: list[AttemptRow]) -> dict[str, Any]:
    attempts = [_attempt_entry(attempt) for attempt in failed]
    finished = step.memo is not None
    kind, value = unwrap(step.memo)
    if finished and step.op not in _WAITING_OPS:
        attempts.append(
            {
                **_times(step.queued_at, step.started_at, step.ended_at),
                "attempt": step.attempt,
                "status": step.status,
                kind: value,
            }
        )
    entry = {
        **_times(step.queued_at, _began_at(step), step.ended_at),
        "id": step.hash,
        "name": step.name,
        "op": step.op,
        "status": step.status,
        "attempts": attempts,
    }
    if step.detail is not None:
        entry["detail"] = msgspec.json.decode(step.detail)
    if finished:
        entry[kind] = value
    return entry


def _function_entry(attempts: list[AttemptRow]) -> dict[str, Any]:
    last = attempts[-1]
    return {
        **_times(attempts[0].queued_at, attempts[0].started_at, last.ended_at),
        "id": "",
        "name": FUNCTION,
        "op": FUNCTION,
        "status": last.status,
        "attempts": [_attempt_entry(attempt) for attempt in attempts],
    }


def _attempt_entry(attempt: AttemptRow) -> dict[str, Any]:
    entry = {
        **_times(attempt.queued_at, attempt.started_at, attempt.ended_at),
        "attempt": attempt.attempt,
        "status": attempt.status,
    }
    if attempt.error is not None:
        error = msgspec.json.decode(attempt.error)
        # Steps keep their errors wrapped, as memos are; the function's own stand as the app sent them.
        entry["error"] = error["error"] if attempt.hash else error
    return entry


def _times(queued_at: float, started_at: float | None, ended_at: float | None) -> dict[str, Any]:
    duration = None if started_at is None or ended_at is None else round((ended_at - started_at) * 1000, 3)
    return {
        "queued_at": to_rfc3339(queued_at),
        "started_at": None if started_at is None else to_rfc3339(started_at),
        "ended_at": None if ended_at is None else to_rfc3339(ended_at),
        "duration_ms": duration,
    }
