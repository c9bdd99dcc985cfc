"""What a trace is made from, and what every span of it shares (executor.md 13.3 and 13.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from stepserve_core.executor.store.metadata import RUN
from stepserve_core.executor.store.steps import AttemptRow, StepRow
from stepserve_core.executor.store.tables import Tables

_INVOCATION = "InvokeFunction"


class TraceParts(NamedTuple):
    """The steps of a run, failed attempts, metadata by step, and the runs that steps started, by event."""

    steps: list[StepRow]
    attempts: list[AttemptRow]
    metadata: dict[str, dict[str, msgspec.Raw]]
    invoked: dict[str, str]


class _Invocation(msgspec.Struct):
    event_id: str = ""


def read_parts(tables: Tables, run_id: str) -> TraceParts:
    """Read what the trace of a run is made from."""
    steps = tables.steps.rows(run_id)
    events = [_event_of(step) for step in steps if step.op == _INVOCATION]
    invoked = {event: runs[0].id for event in events if event and (runs := tables.runs.of_event(event, limit=1))}
    return TraceParts(steps, tables.steps.attempts(run_id), tables.metadata.of_run(run_id), invoked)


def _event_of(step: StepRow) -> str:
    return "" if step.detail is None else msgspec.json.decode(step.detail, type=_Invocation).event_id


def complete_tree(
    root: dict[str, Any], shared: Mapping[str, Any], metadata: Mapping[str, Mapping[str, msgspec.Raw]]
) -> dict[str, Any]:
    """Add to every span of a tree its parent, its metadata, and what all of them share. Return the root."""
    _complete(root, None, shared, metadata)
    return root


def _complete(
    span: dict[str, Any],
    parent: dict[str, Any] | None,
    shared: Mapping[str, Any],
    metadata: Mapping[str, Mapping[str, msgspec.Raw]],
) -> None:
    own = metadata.get(RUN if parent is None else span["stepID"] or "-", {})
    scope = "run" if parent is None else "step"
    span |= {
        **shared,
        "parentSpan": parent,
        "scheduledAt": span["queuedAt"],
        "isUserland": False,
        "debugPaused": False,
        "metadata": [
            {"scope": scope, "kind": kind, "values": msgspec.json.decode(values)} for kind, values in own.items()
        ],
    }
    for child in span["childrenSpans"]:
        _complete(child, span, shared, metadata)
