"""The executor as one object: store, loop and registry, and everything that can be asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stepserve_core._registration import function_configs
from stepserve_core._serialize import encode_wire
from stepserve_core.errors import FunctionNotFoundError, SendEventsError
from stepserve_core.executor import crons, ids
from stepserve_core.executor.clock import Clock, RealClock
from stepserve_core.executor.endings import cancel_run
from stepserve_core.executor.events import Event, Intake, read_events, read_invocation
from stepserve_core.executor.flow import bulk_cancelling
from stepserve_core.executor.flow.pausing import release, set_paused
from stepserve_core.executor.functions import read_registration
from stepserve_core.executor.gateway_policy import CLOUD_ENTRIES, DEV_ENTRIES, GatewayPolicy
from stepserve_core.executor.gateway_transport import DEFAULT_TIMEOUT as GATEWAY_TIMEOUT
from stepserve_core.executor.gateway_transport import GatewayTransport
from stepserve_core.executor.loop import Loop, LoopSettings
from stepserve_core.executor.metadata import Entry, add_metadata
from stepserve_core.executor.realtime.broker import Broker
from stepserve_core.executor.register import Registered, register_app, remove_app
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.reruns import rerun
from stepserve_core.executor.retention import Retention
from stepserve_core.executor.routing import publish, settle
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.signals import deliver_signal
from stepserve_core.executor.store.apps import HOLD, SKIP
from stepserve_core.executor.store.apps import Function as StoredFunction
from stepserve_core.executor.store.cancellations import Cancellation
from stepserve_core.executor.store.metadata import RUN
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.writer import Unit
from stepserve_core.executor.transport import EmbeddedTransport, HttpTransport, Transport
from stepserve_core.handler import Handler

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

T = TypeVar("T")

GRACE = 5.0
"""Seconds that calls in flight are given when the executor stops."""


class Executor:
    """Runs durable functions: takes events in, calls apps step by step, keeps everything in one SQLite file.

    Use it as an async context manager, or call `start` and `stop`.

    Args:
        store: where everything is kept; `Store("file.db")`, or `Store()` for memory.
        transport: how apps are reached; over HTTP by default.
        clock: the source of time.
        settings: see `LoopSettings`.
        gateway_allow: where `step.fetch` and `step.ai.infer` may connect to; see `GatewayPolicy`. By default the
            internet, and without a signing key (development) private and loopback addresses too.
        gateway_timeout: seconds that one of their requests may take.
        retention: seconds after which runs that ended, and events, are deleted; None keeps them.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        transport: Transport | None = None,
        clock: Clock | None = None,
        settings: LoopSettings | None = None,
        gateway_allow: Sequence[str] | None = None,
        gateway_timeout: float = GATEWAY_TIMEOUT,
        retention: float | None = None,
    ) -> None:
        self.store = store or Store()
        self.clock: Clock = clock or RealClock()
        self._retention = None if retention is None else Retention(self.store, self.clock, retention)
        self._cleaning: asyncio.Task[None] | None = None
        self.settings = settings or LoopSettings()
        self.registry = Registry(backlog_limit=self.settings.backlog_limit)
        self._http = HttpTransport()
        self._transport = transport or self._http
        self.realtime = Broker(self.settings.signing_key)
        self._syncing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._pending: bytes | None = None
        if gateway_allow is None:
            gateway_allow = CLOUD_ENTRIES if self.settings.signing_key else DEV_ENTRIES
        self._gateway = GatewayTransport(GatewayPolicy(gateway_allow), timeout=gateway_timeout)
        self.loop = Loop(
            self.store,
            self._transport,
            self.clock,
            lambda: self.registry,
            self.settings,
            self._gateway,
            self.realtime,
        )

    @classmethod
    def embedded(
        cls,
        client: Inngest,
        functions: Iterable[Function[Any]],
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        settings: LoopSettings | None = None,
        gateway_allow: Sequence[str] | None = None,
    ) -> Executor:
        """Return an executor that runs `functions` in this process, without sockets.

        Calls are signed with the client's key where it has one.
        """
        functions = list(functions)
        handler = Handler(client, functions, framework="executor")
        settings = msgspec.structs.replace(settings or LoopSettings(), signing_key=client.signing_key)
        transport = EmbeddedTransport(handler)
        executor = cls(store, transport=transport, clock=clock, settings=settings, gateway_allow=gateway_allow)
        url = "http://embedded/api/inngest"
        registration = {"appName": client.app_id, "url": url, "functions": function_configs(functions, url)}
        executor._pending = encode_wire(registration)
        return executor

    async def __aenter__(self) -> Executor:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Load what is registered and go on with what is queued."""
        self.registry = self.registry.replaced(await self.store.read(lambda tables: tables.apps.functions()))
        if self._pending is not None:
            await self.register(self._pending)
        await self.loop.recover()
        self._task = asyncio.get_running_loop().create_task(self.loop.run())
        if self._retention is not None:
            self._cleaning = asyncio.get_running_loop().create_task(self._retention.run())

    async def stop(self, grace: float = GRACE) -> None:
        """Let calls in flight finish for `grace` seconds, give back the others, and close the store."""
        if self._retention is not None and self._cleaning is not None:
            self._retention.stop()
            await self._cleaning
        if self._task is not None:
            await self.loop.stop(grace)
            await self._task
            self._task = None
        await self._transport.close()
        await self._http.close()
        await self._gateway.close()
        await self.realtime.close()
        self.store.close()

    @property
    def transport(self) -> Transport:
        """How apps are reached."""
        return self._transport

    async def send(self, events: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
        """Take in one event or several and return their ids, in order.

        Raises:
            SendEventsError: an event was refused; `ids` holds those taken before it.
        """
        given = [events] if isinstance(events, Mapping) else list(events)
        ids_, error = await self.accept(encode_wire(given), "application/json", None)
        if error is not None:
            raise SendEventsError(error, ids_)
        return ids_

    async def accept(self, body: bytes, content_type: str, seed: str | None) -> tuple[list[str], str | None]:
        """Take in the body of a request to the event API; return the ids taken and what was wrong, if anything.

        It returns after the events and the runs they start have been committed.
        """
        intake: Intake = read_events(body, content_type, seed, self.clock.now())
        if intake.events:
            await self._publish(intake.events)
        return [event.internal_id for event in intake.events], intake.error

    async def invoke(self, slug: str, body: bytes, seed: str | None = None) -> str:
        """Start one function, whatever its triggers, and return the id of the event that does.

        Raises:
            EventInvalidError: the body is not an event.
        """
        now = self.clock.now()
        read_seed = ids.read_seed(seed)
        internal_id = ids.new_id(now) if read_seed is None else ids.seeded_id(read_seed, 0)
        event = read_invocation(body, internal_id, slug, now)
        await self._publish([event])
        return internal_id

    async def register(self, body: bytes) -> Registered:
        """Take in what an app registers.

        Raises:
            RegistrationInvalidError: it cannot be used; nothing was changed.
        """
        registration = read_registration(body)
        async with self._syncing:
            registered = await self._write(lambda scope: register_app(scope, registration))
            self.registry = registered.registry
        self.loop.wake()
        return registered

    async def remove_app(self, app_id: str) -> bool:
        """Forget an app and archive its functions; their runs go on. Return False where there is no such app."""
        async with self._syncing:
            registry = await self._write(lambda scope: remove_app(scope, app_id))
            if registry is None:
                return False
            self.registry = registry
        return True

    async def cancel(self, run_id: str) -> bool:
        """Cancel a run. Return False where it has ended or does not exist."""
        cancelled = await self._write(lambda scope: cancel_run(scope, run_id))
        self.loop.wake()
        return cancelled

    async def signal(self, name: str, data: bytes) -> str | None:
        """Give a signal to the step that waits for it; return the id of its run, None where nobody waits.

        `data` is canonical JSON.
        """
        run_id = await self._write(lambda scope: deliver_signal(scope, name, data))
        self.loop.wake()
        return run_id

    async def cancel_many(
        self,
        function: StoredFunction,
        started_after: float | None,
        started_before: float,
        expression: str | None = None,
    ) -> Cancellation:
        """Cancel the runs of a function that were queued between two moments, in Unix seconds.

        `expression` is a condition over the event of each run. The runs are cancelled soon after this returns.
        """
        begun = await self._write(
            lambda scope: bulk_cancelling.begin(scope, function.id, started_after, started_before, expression)
        )
        self.loop.wake()
        return begun

    async def withdraw_cancellation(self, cancellation_id: str) -> bool:
        """Stop and forget a bulk cancellation. Return False where there is none."""
        return await self._write(lambda scope: bulk_cancelling.withdraw(scope, cancellation_id))

    async def pause(self, slug: str, *, skip: bool = False) -> None:
        """Start no runs of a function until it is resumed; runs that have started go on.

        New runs wait in their order, or are recorded as skipped (`skip`).

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        await self._set_paused(slug, SKIP if skip else HOLD)

    async def resume(self, slug: str) -> None:
        """Let a paused function start its runs.

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        await self._set_paused(slug, None)

    async def _set_paused(self, slug: str, mode: str | None) -> None:
        async with self._syncing:
            function = self.registry.find(slug)
            if function is None:
                raise FunctionNotFoundError(f"function {slug} not found")
            found = function
            self.registry = await self._write(lambda scope: set_paused(scope, found, mode))
            await self._write(lambda scope: release(scope, found))
        self.loop.wake()

    async def add_metadata(self, run_id: str, step: str | None, entries: list[Entry]) -> bool:
        """Add metadata to a run, or to its step of this hash or name. Return False where there is none.

        Raises:
            MetadataInvalidError: it would be too much.
        """

        def unit(scope: Scope) -> bool:
            if scope.tables.runs.get(run_id) is None:
                return False
            hashes = {RUN} if step is None else scope.tables.steps.named(run_id, step)
            for step_hash in hashes:
                add_metadata(scope, run_id, step_hash, entries)
            return bool(hashes)

        return await self._write(unit)

    async def rerun(self, run_id: str, from_step: str | None = None, given: bytes | None = None) -> str:
        """Start a run once more, perhaps from a step and with other arguments for it; return the id of the new run.

        Raises:
            RerunRefusedError: see `rerun`.
        """
        new_id = await self._write(lambda scope: rerun(scope, run_id, from_step, given))
        self.loop.wake()
        return new_id

    async def tick(self, slug: str) -> int:
        """Let the pending ticks of a function's schedules fire now; return how many there are.

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        function = self.registry.find(slug)
        if function is None:
            raise FunctionNotFoundError(f"function {slug} not found")
        count = await self._write(lambda scope: crons.bring_forward(scope, function))
        self.loop.wake()
        return count

    async def read(self, unit: Unit[T]) -> T:
        """Look something up in the store."""
        return await self.store.read(unit)

    async def _publish(self, events: Sequence[Event]) -> None:
        def unit(scope: Scope) -> None:
            for event in events:
                publish(scope, event)

        await self._write(unit)
        self.loop.wake()

    async def _write(self, unit: Callable[[Scope], T]) -> T:
        registry, now = self.registry, self.clock.now()

        def scoped(tables: Tables) -> T:
            scope = Scope(tables, registry, now)
            result = unit(scope)
            settle(scope)
            return result

        return await self.store.write(scoped)
