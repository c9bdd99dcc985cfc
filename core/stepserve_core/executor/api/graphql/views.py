"""How apps, functions, events and runs look in GraphQL. Keys are fields; what costs a query is a callable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core.executor import limits
from stepserve_core.executor.addresses import normalize_url
from stepserve_core.executor.api.graphql.costs import Costs, Once
from stepserve_core.executor.api.graphql.trace import trace_of
from stepserve_core.executor.api.graphql.workers import Worker
from stepserve_core.executor.calls import ENVIRONMENT_ID
from stepserve_core.executor.events import Event
from stepserve_core.executor.function_config import FunctionConfig
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.run_search import STATUS_NAMES
from stepserve_core.executor.store.apps import App, Function
from stepserve_core.executor.store.runs import RunRow

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor

View = dict[str, Any]
_SCOPES = {"account": "ACCOUNT", "env": "ENVIRONMENT", "fn": "FUNCTION", None: "FUNCTION"}


class Views:
    """Views of one request."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.costs = Costs()
        # What one request asks for under several names, or from several places, is looked up once.
        self._runs: Once[str, list[RunRow]] = Once()
        self._traces: Once[tuple[str, bool], View] = Once()

    def app(self, app: App) -> View:
        """Return an app."""
        self.costs.spend()
        functions = [one for one in self._executor.registry.active() if one.app_id == app.id]
        language, _, version = app.sdk.partition(":")
        return {
            "id": app.id,
            "externalID": app.name,
            "name": app.name,
            "sdkLanguage": language,
            "sdkVersion": version.removeprefix("v"),
            "framework": app.framework or None,
            "url": app.url,
            "checksum": app.checksum,
            "error": app.error,
            "appVersion": app.version,
            "connected": app.error is None,
            "autodiscovered": normalize_url(app.url) in self._executor.discovered,
            "functionCount": len(functions),
            "functions": lambda _info: [self.function(one) for one in functions],
        }

    def function(self, function: Function) -> View:
        """Return a function."""
        self.costs.spend()
        config = function.config
        return {
            "id": function.id,
            "name": config.name,
            "slug": function.slug,
            "config": msgspec.json.encode(config).decode(),
            "triggers": [
                {"type": "CRON", "value": one.cron, "condition": None}
                if one.cron is not None
                else {"type": "EVENT", "value": one.event, "condition": one.expression}
                for one in config.triggers
            ],
            "url": config.url,
            "appID": function.app_id,
            "app": lambda _info: self.app_of(function.app_id),
            "isPaused": function.paused is not None,
            "configuration": lambda _info: configuration_of(config),
        }

    async def app_of(self, app_id: str) -> View | None:
        """Return an app by its id."""
        found = await self._executor.read(lambda tables: tables.apps.get(app_id))
        return None if found is None else self.app(found)

    def worker(self, worker: Worker) -> View:
        """Return an app of a connected worker."""
        self.costs.spend()
        return {**worker.fields(), "app": lambda _info: self.app_of(worker.app_id)}

    def function_of(self, function_id: str) -> View | None:
        """Return a function by its id."""
        function = self._executor.registry.get(function_id)
        return None if function is None else self.function(function)

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
        }

    async def trace(self, run: RunRow, *, folded: bool) -> View:
        """Return the tree of a run's steps."""
        return await self._traces.get((run.id, folded), lambda: self._read_trace(run, folded=folded))

    async def _read_trace(self, run: RunRow, *, folded: bool) -> View:
        steps, attempts = await self._executor.read(
            lambda tables: (tables.steps.rows(run.id), tables.steps.attempts(run.id))
        )
        self.costs.spend(len(steps) + len(attempts))
        return trace_of(run, steps, attempts, folded=folded)

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

    async def _rows_of(self, event_id: str) -> list[RunRow]:
        return await self._runs.get(event_id, lambda: self._read_rows(event_id))

    async def _read_rows(self, event_id: str) -> list[RunRow]:
        rows = await self._executor.read(lambda tables: tables.runs.of_event(event_id))
        self.costs.spend(len(rows))
        return rows

    async def _event_of(self, run: RunRow) -> View | None:
        event = await self._executor.read(lambda tables: tables.events.get(run.event_id))
        return None if event is None else self.event(event)


def configuration_of(config: FunctionConfig) -> View:
    """Return the options of a function."""
    return {
        "cancellations": [{"event": one.event, "timeout": one.timeout, "condition": one.if_} for one in config.cancel],
        "retries": {"value": config.max_attempts - 1, "isDefault": config.max_attempts - 1 == limits.DEFAULT_RETRIES},
        "priority": None if config.priority is None else config.priority.run,
        "eventsBatch": config.batch_events,
        "concurrency": [
            {"scope": _SCOPES[one.scope], "limit": {"value": one.limit, "isPlanLimit": False}, "key": one.key}
            for one in (*config.run_concurrency, *config.concurrency)
        ],
        "rateLimit": config.rate_limit,
        "debounce": config.debounce,
        "throttle": config.throttle,
        "singleton": None
        if config.singleton is None
        else {"mode": config.singleton.mode.upper(), "key": config.singleton.key},
    }


def _time(moment: float | None) -> str | None:
    return None if moment is None else to_rfc3339(moment)
