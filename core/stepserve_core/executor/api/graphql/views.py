"""How events and runs look in GraphQL. Keys are fields; what costs a query is a callable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.api.graphql.app_views import AppViews, View
from stepserve_core.executor.api.graphql.costs import Once
from stepserve_core.executor.api.graphql.defers import read_defers, read_parent
from stepserve_core.executor.api.graphql.trace import trace_of
from stepserve_core.executor.api.graphql.trace_parts import complete_tree, read_parts
from stepserve_core.executor.calls import ENVIRONMENT_ID
from stepserve_core.executor.defers import SCHEDULE
from stepserve_core.executor.events import Event
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.run_search import STATUS_NAMES
from stepserve_core.executor.store.runs import RunRow

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor


class Views(AppViews):
    """Views of one request."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        # What one request asks for under several names, or from several places, is looked up once.
        self._runs: Once[str, list[RunRow]] = Once()
        self._traces: Once[tuple[str, bool], View] = Once()

    def event(self, event: Event) -> View:
        """Return an event with its runs, in the older form."""
        self.costs.spend()
        return {
            "id": event.internal_id,
            "externalID": event.id,
            "name": event.name,
            "createdAt": to_rfc3339(event.received_at),
            "payload": lambda _info: msgspec.json.encode(event.value().get("data")).decode(),
            "raw": event.body.decode(),
            "functionRuns": lambda _info: self._runs_of(event.internal_id, self.function_run),
            "totalRuns": lambda _info: self._count(event.internal_id, ended=None),
            "pendingRuns": lambda _info: self._count(event.internal_id, ended=False),
            "status": lambda _info: self._event_status(event.internal_id),
        }

    def stream_item(self, event: Event, *, is_tick: bool) -> View:
        """Return an event, or a tick of a schedule, as an item of the stream; its trigger is a name or a schedule."""
        self.costs.spend()
        cron = event.value().get("data", {}).get("cron") if is_tick else None
        return {
            "id": event.internal_id,
            "trigger": cron or event.name,
            "type": "CRON" if is_tick else "EVENT",
            "createdAt": to_rfc3339(event.received_at),
            "runs": lambda _info: self._runs_of(event.internal_id, self.function_run),
        }

    def event_v2(self, event: Event) -> View:
        """Return an event with its runs."""
        self.costs.spend()
        return {
            "envID": ENVIRONMENT_ID,
            "id": event.internal_id,
            "idempotencyKey": event.id,
            "name": event.name,
            "occurredAt": to_rfc3339(event.ts / 1000),
            "raw": event.body.decode(),
            "receivedAt": to_rfc3339(event.received_at),
            "version": event.value().get("v"),
            "runs": lambda _info: self._runs_of(event.internal_id, self.run),
        }

    def function_run(self, run: RunRow) -> View:
        """Return a run in the older form."""
        self.costs.spend()
        return {
            "id": run.id,
            "functionID": run.function_id,
            "function": lambda _info: self.function_of(run.function_id),
            "event": lambda _info: self._event_of(run),
            "eventID": run.event_id,
            "status": STATUS_NAMES[run.status],
            "startedAt": _time(run.started_at),
            "finishedAt": _time(run.ended_at),
            "output": None if run.output is None else run.output.decode(),
            "cron": run.cron,
            "batchID": run.batch_id,
            "batchCreatedAt": _time(ids.moment_of(run.batch_id) if run.batch_id else None),
            "events": lambda _info: self._events_of(run),
            "pendingSteps": lambda _info: self._pending_steps(run),
        }

    def run(self, run: RunRow) -> View:
        """Return a run."""
        self.costs.spend()
        function = self._executor.registry.get(run.function_id)
        return {
            "id": run.id,
            "appID": None if function is None else function.app_id,
            "app": lambda _info: None if function is None else self.app_of(function.app_id),
            "functionID": run.function_id,
            "function": lambda _info: self.function_of(run.function_id),
            "traceID": run.id,
            "queuedAt": to_rfc3339(run.queued_at),
            "startedAt": _time(run.started_at),
            "endedAt": _time(run.ended_at),
            "status": STATUS_NAMES[run.status],
            "triggerIDs": [run.event_id],
            "eventName": run.event_name,
            "isBatch": run.batch_id is not None,
            "cronSchedule": run.cron,
            "output": None if run.output is None else run.output.decode(),
            "trace": lambda _info, preview=False: self.trace(run, folded=bool(preview)),
            "originalRunID": run.original_run_id,
            "skipReason": run.skip_reason,
            "skipExistingRunID": run.skip_existing_run_id,
            "batchCreatedAt": _time(ids.moment_of(run.batch_id) if run.batch_id else None),
            "hasAI": lambda _info: self._has_ai(run),
            "isDeferred": run.event_name == SCHEDULE,
            "defers": lambda _info: self._defers_of(run),
            "siblingDefers": lambda _info: self._sibling_defers(run),
        }

    async def _pending_steps(self, run: RunRow) -> int:
        return (
            0 if run.ended_at is not None else await self._executor.read(lambda tables: tables.steps.count_open(run.id))
        )

    async def _has_ai(self, run: RunRow) -> bool:
        return await self._executor.read(lambda tables: tables.steps.has_op(run.id, "AIGateway"))

    async def _sibling_defers(self, run: RunRow) -> list[View]:
        """Return the defers of the run that deferred this one."""
        parent = await self._executor.read(lambda tables: read_parent(tables, run))
        return [] if parent is None else await self._defers_of(parent)

    async def _defers_of(self, run: RunRow) -> list[View]:
        found = await self._executor.read(lambda tables: read_defers(tables, run))
        self.costs.spend(len(found))
        return [
            {
                "hashedDeferID": defer.hash,
                "userlandDeferID": defer.name,
                "fnSlug": defer.slug,
                "status": defer.status.upper(),
                "function": self.function_named(defer.slug),
                "runID": None if started is None else started.id,
                "run": None if started is None else self.run(started),
            }
            for defer, started in found
        ]

    async def trace(self, run: RunRow, *, folded: bool) -> View:
        """Return the tree of a run's steps."""
        return await self._traces.get((run.id, folded), lambda: self._read_trace(run, folded=folded))

    async def _read_trace(self, run: RunRow, *, folded: bool) -> View:
        parts = await self._executor.read(lambda tables: read_parts(tables, run.id))
        self.costs.spend(len(parts.steps) + len(parts.attempts))
        function = self._executor.registry.get(run.function_id)
        tree = trace_of(run, parts.steps, parts.attempts, folded=folded, invoked=parts.invoked)
        shared = {"appID": None if function is None else function.app_id, "run": lambda _info: self.run(run)}
        return complete_tree(tree, shared, parts.metadata)

    async def trigger(self, run: RunRow) -> View:
        """Return what started a run."""
        events = await self._executor.read(lambda tables: tables.events.of_run(run.id))
        return {
            "eventName": run.event_name,
            "IDs": [event.internal_id for event in events],
            "payloads": [event.body.decode() for event in events],
            "timestamp": to_rfc3339(run.queued_at),
            "isBatch": run.batch_id is not None,
            "batchID": run.batch_id,
            "cron": run.cron,
        }

    async def _runs_of(self, event_id: str, view: Any) -> list[View]:
        return [view(run) for run in await self._rows_of(event_id)]

    async def _count(self, event_id: str, *, ended: bool | None) -> int:
        runs = await self._rows_of(event_id)
        return sum(1 for run in runs if ended is None or (run.ended_at is not None) is ended)

    async def _event_status(self, event_id: str) -> str:
        return status_of_event([run.status for run in await self._rows_of(event_id)])

    async def _events_of(self, run: RunRow) -> list[View]:
        return [self.event(event) for event in await self._executor.read(lambda tables: tables.events.of_run(run.id))]

    async def _rows_of(self, event_id: str) -> list[RunRow]:
        return await self._runs.get(event_id, lambda: self._read_rows(event_id))

    async def _read_rows(self, event_id: str) -> list[RunRow]:
        rows = await self._executor.read(lambda tables: tables.runs.of_event(event_id))
        self.costs.spend(len(rows))
        return rows

    async def _event_of(self, run: RunRow) -> View | None:
        event = await self._executor.read(lambda tables: tables.events.get(run.event_id))
        return None if event is None else self.event(event)


_BAD = frozenset({"Failed", "Cancelled"})
_OPEN = frozenset({"Scheduled", "Running"})


def status_of_event(statuses: list[str]) -> str:
    """Return what became of an event, by what became of its runs (executor.md 13.3)."""
    if not statuses:
        return "NO_FUNCTIONS"
    if not _OPEN.isdisjoint(statuses):
        return "RUNNING"
    failed = sum(status in _BAD for status in statuses)
    return "COMPLETED" if not failed else "FAILED" if failed == len(statuses) else "PARTIALLY_FAILED"


def _time(moment: float | None) -> str | None:
    return None if moment is None else to_rfc3339(moment)
