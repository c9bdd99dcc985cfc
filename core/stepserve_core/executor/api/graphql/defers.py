"""Defers of a run as GraphQL shows them (executor.md 13.3)."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.defers import SCHEDULE, event_id_of
from stepserve_core.executor.store.defers import Defer
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.tables import Tables


def read_defers(tables: Tables, run: RunRow) -> list[tuple[Defer, RunRow | None]]:
    """Return the defers of a run, each with the run that it started when that one had ended."""
    return [(defer, _started_run(tables, run, defer)) for defer in tables.defers.of_run(run.id)]


def _started_run(tables: Tables, run: RunRow, defer: Defer) -> RunRow | None:
    if run.ended_at is None:
        return None
    started = tables.runs.of_event(event_id_of(run.id, defer.hash, run.ended_at))
    return started[0] if started else None


class _Origin(msgspec.Struct):
    parent_run_id: str = ""


class _Data(msgspec.Struct):
    origin: _Origin = msgspec.field(name="_inngest", default_factory=_Origin)


class _Schedule(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


def read_parent(tables: Tables, run: RunRow) -> RunRow | None:
    """Return the run that deferred another one; None where it was started otherwise, or is not kept any more."""
    event = tables.events.get(run.event_id) if run.event_name == SCHEDULE else None
    return (
        None
        if event is None
        else tables.runs.get(msgspec.json.decode(event.body, type=_Schedule).data.origin.parent_run_id)
    )
