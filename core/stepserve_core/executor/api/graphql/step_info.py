"""What a span says of its kind of step, in `stepInfo` (executor.md 13.3). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.progress import TIMED_OUT


def step_info(entry: Mapping[str, Any], op: str | None, invoked: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the information about an entry of a timeline; None where its kind has none, or where it began with none.

    `op` is the kind of the step in GraphQL; `invoked` has the run that an invoking event started.
    """
    detail: dict[str, Any] = entry.get("detail") or {}
    if op == "RUN":
        return {"__typename": "RunStepInfo", "type": detail.get("type")}
    if op == "SLEEP" and "until" in detail:
        return {"__typename": "SleepStepInfo", "sleepUntil": to_rfc3339(detail["until"])}
    if "expires_at" not in detail:
        return None
    waiting = {"timeout": to_rfc3339(detail["expires_at"]), "timedOut": entry["status"] == TIMED_OUT}
    return {**waiting, **_wait_info(entry, detail, invoked)}


def _wait_info(entry: Mapping[str, Any], detail: dict[str, Any], invoked: Mapping[str, str]) -> dict[str, Any]:
    """Return what only one kind of wait has."""
    if "signal" in detail:
        return {"__typename": "WaitForSignalStepInfo", "signal": detail["signal"]}
    if "event" in detail:
        return {
            "__typename": "WaitForEventStepInfo",
            "eventName": detail["event"],
            "expression": detail["expression"],
            "foundEventID": _found_event(entry),
        }
    return {
        "__typename": "InvokeStepInfo",
        "triggeringEventID": detail["event_id"],
        "functionID": detail["function"],
        "runID": invoked.get(detail["event_id"]),
    }


def _found_event(entry: Mapping[str, Any]) -> str | None:
    """Return the id of the event that ended a wait."""
    found = entry.get("output")
    return found.get("id") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType] - JSON
