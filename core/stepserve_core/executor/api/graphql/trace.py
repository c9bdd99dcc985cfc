"""The tree of a run's steps and attempts, and the ids under which their outputs are fetched (executor.md 13.4)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from stepserve_core.executor.api.graphql.step_info import step_info
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.run_search import STATUS_NAMES
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.steps import AttemptRow, StepRow
from stepserve_core.executor.timeline import FUNCTION, build_steps, unwrap

_STEP_OPS = {
    "StepRun": "RUN",
    "Step": "RUN",
    "StepError": "RUN",
    "StepFailed": "RUN",
    "StepPlanned": "RUN",
    "Sleep": "SLEEP",
    "WaitForEvent": "WAIT_FOR_EVENT",
    "InvokeFunction": "INVOKE",
    "AIGateway": "AI_GATEWAY",
    "WaitForSignal": "WAIT_FOR_SIGNAL",
}
_WAITING = frozenset({"Sleep", "WaitForEvent", "WaitForSignal"})
_STATUSES = {"Completed": "COMPLETED", "Failed": "FAILED", "Cancelled": "CANCELLED", "Errored": "FAILED"}
_ENDED = {"Completed": "function success", "Failed": "function error"}


class OutputRef(msgspec.Struct, frozen=True, array_like=True):
    """What an output id names: a step of a run, or the run itself (an empty step)."""

    run_id: str
    step: str


def output_id(run_id: str, step: str) -> str:
    """Return the opaque id of an output."""
    return base64.urlsafe_b64encode(msgspec.json.encode(OutputRef(run_id, step))).decode()


def read_output_id(text: str) -> OutputRef:
    """Return what an output id names.

    Raises:
        ValueError: it was not made by `output_id`.
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=OutputRef)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise ValueError("no output found") from None


def trace_of(
    run: RunRow,
    steps: list[StepRow],
    attempts: list[AttemptRow],
    *,
    folded: bool,
    invoked: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the tree. `folded` is the newer form, where a step with one attempt has no children.

    `invoked` has the runs that steps started, by the ids of the events that did.
    """
    ops = {step.hash: step.op for step in steps}
    children = [
        _span(run, entry, ops.get(entry["id"], ""), invoked, folded=folded)
        for entry in build_steps(steps, attempts)
        if folded or entry["name"] != FUNCTION
    ]
    if not folded and run.status in _ENDED:
        moment = run.queued_at if run.ended_at is None else run.ended_at
        children.append(_end(run, _ENDED[run.status], moment))
    return {
        **_common(run),
        "name": "Run",
        "status": STATUS_NAMES[run.status],
        "attempts": None,
        "duration": _duration(run),
        "outputID": None if run.output is None else output_id(run.id, ""),
        "queuedAt": to_rfc3339(run.queued_at),
        "startedAt": None if run.started_at is None else to_rfc3339(run.started_at),
        "endedAt": None if run.ended_at is None else to_rfc3339(run.ended_at),
        "childrenSpans": children,
        "stepOp": None,
        "stepID": None,
        "stepType": None,
        "spanID": run.id,
        "skipReason": run.skip_reason,
        "skipExistingRunID": run.skip_existing_run_id,
        "isRoot": True,
        "parentSpanID": None,
    }


def output_of(run: RunRow, steps: list[StepRow], ref: OutputRef) -> dict[str, Any] | None:
    """Return the output or error that an id names; None where it has none yet."""
    if not ref.step:
        if run.output is None:
            return None
        failed = run.status != "Completed"
        value = msgspec.json.decode(run.output) if failed else None
        return {"input": None, "data": None, "error": _error(value)} if failed else _data(run.output.decode(), None)
    step = next((one for one in steps if one.hash == ref.step and one.memo is not None), None)
    if step is None:
        return None
    kind, value = unwrap(step.memo)
    detail = {} if step.detail is None else msgspec.json.decode(step.detail, type=dict[str, msgspec.Raw])
    given = bytes(detail["input"]).decode() if "input" in detail else None
    if kind == "error":
        return {"input": given, "data": None, "error": _error(value)}
    return _data(msgspec.json.encode(value).decode(), given)


def _data(text: str, given: str | None) -> dict[str, Any]:
    return {"input": given, "data": text, "error": None}


def _error(value: Any) -> dict[str, Any]:
    fields: dict[str, Any] = value if isinstance(value, dict) else {"message": str(value)}
    return {
        "message": str(fields.get("message") or ""),
        "name": fields.get("name"),
        "stack": fields.get("stack"),
        "cause": None if fields.get("cause") is None else msgspec.json.encode(fields["cause"]).decode(),
    }


def _common(run: RunRow) -> dict[str, Any]:
    return {"runID": run.id, "traceID": run.id, "functionID": run.function_id}


def _span(run: RunRow, entry: dict[str, Any], op: str, invoked: Mapping[str, str], *, folded: bool) -> dict[str, Any]:
    span_id, attempts = f"{run.id}:{entry['id']}", entry["attempts"]
    finished = "output" in entry or "error" in entry
    children = [] if folded and len(attempts) < 2 else [_attempt(run, span_id, one) for one in attempts]
    return {
        **_common(run),
        **_times(entry),
        "name": entry["name"],
        "status": _status(entry["status"], op, finished=finished),
        "attempts": len(attempts),
        "outputID": output_id(run.id, entry["id"]) if finished else None,
        "childrenSpans": children,
        "stepOp": _STEP_OPS.get(op),
        "stepID": entry["id"] or None,
        "stepType": "FINALIZATION" if entry["name"] == FUNCTION else _type_of(entry) or op or None,
        "stepInfo": step_info(entry, _STEP_OPS.get(op), invoked),
        "spanID": span_id,
        "isRoot": False,
        "parentSpanID": run.id,
    }


def _type_of(entry: dict[str, Any]) -> str | None:
    """Return what the app calls this kind of step (executor.md 5.1)."""
    given = entry.get("detail", {}).get("type")
    return given if isinstance(given, str) else None


def _attempt(run: RunRow, parent: str, attempt: dict[str, Any]) -> dict[str, Any]:
    number = attempt["attempt"]
    return {
        **_common(run),
        **_times(attempt),
        "name": f"Attempt {number + 1}",
        "status": _status(attempt["status"], "", finished=True),
        "attempts": number + 1,
        "outputID": None,
        "childrenSpans": [],
        "stepOp": None,
        "stepID": None,
        "stepType": None,
        "spanID": f"{parent}:{number}",
        "isRoot": False,
        "parentSpanID": parent,
    }


def _end(run: RunRow, name: str, moment: float) -> dict[str, Any]:
    at = to_rfc3339(moment)
    return {
        **_common(run),
        "queuedAt": at,
        "startedAt": at,
        "endedAt": at,
        "duration": 0,
        "name": name,
        "status": STATUS_NAMES[run.status],
        "attempts": 1,
        "outputID": None if run.output is None else output_id(run.id, ""),
        "childrenSpans": [],
        "stepOp": None,
        "stepID": None,
        "stepType": "FINALIZATION",
        "spanID": f"{run.id}:end",
        "isRoot": False,
        "parentSpanID": run.id,
    }


def _status(stored: str, op: str, *, finished: bool) -> str:
    if stored in _STATUSES:
        return _STATUSES[stored]
    if finished:
        return "COMPLETED"
    return "WAITING" if op in _WAITING else "RUNNING"


def _times(entry: dict[str, Any]) -> dict[str, Any]:
    duration = entry["duration_ms"]
    return {
        "queuedAt": entry["queued_at"],
        "startedAt": entry["started_at"],
        "endedAt": entry["ended_at"],
        "duration": None if duration is None else round(duration),
    }


def _duration(run: RunRow) -> int | None:
    return None if run.ended_at is None else round((run.ended_at - (run.started_at or run.queued_at)) * 1000)
