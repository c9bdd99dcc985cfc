"""The executor as one object: store, loop and registry, and everything that can be asked of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stepserve_core._serialize import encode_wire
from stepserve_core.errors import SendEventsError
from stepserve_core.executor import ids
from stepserve_core.executor.caller import Caller, Decide
from stepserve_core.executor.clock import Clock, RealClock
from stepserve_core.executor.connect.room import Room
from stepserve_core.executor.connect.transport import WorkerTransport
from stepserve_core.executor.connect.workers import Workers
from stepserve_core.executor.controls import Controls
from stepserve_core.executor.events import Event, Intake, read_events, read_invocation
from stepserve_core.executor.function_config import FunctionConfig
from stepserve_core.executor.functions import read_registration
from stepserve_core.executor.gateway_policy import CLOUD_ENTRIES, DEV_ENTRIES, GatewayPolicy
from stepserve_core.executor.gateway_transport import DEFAULT_TIMEOUT as GATEWAY_TIMEOUT
from stepserve_core.executor.gateway_transport import GatewayTransport
from stepserve_core.executor.http_transport import HttpTransport
from stepserve_core.executor.in_process import Embedded, LocalServer
from stepserve_core.executor.loop import Loop
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.realtime.broker import Broker
from stepserve_core.executor.realtime.endpoint_streams import EndpointStreams
from stepserve_core.executor.register import Registered, add_endpoint, register_app, remove_app
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.retention import Retention
from stepserve_core.executor.routing import publish, settle
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function as StoredFunction
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.writer import Unit
from stepserve_core.executor.transport import Transport

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

T = TypeVar("T")

_log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that calls in flight are given when the executor stops."""


class Executor(Controls):
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
        around: returns what carries out items in place of `Caller.decide`, for tests.
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
        around: Callable[[Caller], Decide] | None = None,
    ) -> None:
        self.store = store or Store()
        self.clock: Clock = clock or RealClock()
        self._retention = None if retention is None else Retention(self.store, self.clock, retention)
        self._cleaning: asyncio.Task[None] | None = None
        self.settings = settings or LoopSettings()
        self.registry = Registry(backlog_limit=self.settings.backlog_limit)
        self._http = HttpTransport()
        self.workers = Workers(self.clock)
        self._transport = transport or WorkerTransport(self._http, self.workers, lambda: self.registry)
        self.discovered: set[str] = set()
        """URLs at which apps were found by looking for them, since the start; normalised."""
        self.realtime = Broker(self.settings.signing_key)
        self.endpoint_streams = EndpointStreams(self.realtime, self.store)
        self._syncing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._embedded: Embedded | None = None
        if gateway_allow is None:
            gateway_allow = CLOUD_ENTRIES if self.settings.signing_key else DEV_ENTRIES
        self._gateway = GatewayTransport(GatewayPolicy(gateway_allow), timeout=gateway_timeout)
        self.caller = Caller(self._transport, self.clock, self.settings, self._gateway, self.realtime)
        self.loop = Loop(
            self.store,
            self.caller.decide if around is None else around(self.caller),
            self.clock,
            lambda: self.registry,
            self.settings,
        )
        self._room = Room(self.store, self.workers, self.loop.wake)

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
        around: Callable[[Caller], Decide] | None = None,
    ) -> Executor:
        """Return an executor that runs `functions` in this process, without sockets.

        While it runs, it is the server of `client`: events, signals and whatever else the client and its steps ask of
        a server come to it. No keys are needed.
        """
        settings = msgspec.structs.replace(settings or LoopSettings(), signing_key=client.signing_key)
        embedded = Embedded(client, functions)
        executor = cls(
            store,
            transport=embedded.transport,
            clock=clock,
            settings=settings,
            gateway_allow=gateway_allow,
            around=around,
        )
        embedded.server = LocalServer(executor)
        executor._embedded = embedded
        return executor

    @property
    def local(self) -> LocalServer:
        """The server that clients in this process ask, of an executor that was made with `embedded`."""
        assert self._embedded is not None
        return self._embedded.server

    async def __aenter__(self) -> Executor:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Load what is registered and go on with what is queued."""
        await self.prepare()
        self._task = asyncio.get_running_loop().create_task(self.loop.run())
        if self._retention is not None:
            self._cleaning = asyncio.get_running_loop().create_task(self._retention.run())

    async def prepare(self) -> None:
        """Do what `start` does, but leave it to the caller to run the loop."""
        self.registry = self.registry.replaced(await self.store.read(lambda tables: tables.apps.functions()))
        if self._embedded is not None:
            await self.register(self._embedded.registration())
            self._embedded.attach()
        await self.loop.recover()

    async def stop(self, grace: float = GRACE) -> None:
        """Let calls in flight finish for `grace` seconds, give back the others, and close the store."""
        if self._retention is not None and self._cleaning is not None:
            self._retention.stop()
            await self._cleaning
        if self._task is not None:
            await self.loop.stop(grace)
            await self._task
            self._task = None
        await self._room.close()
        if self._embedded is not None:
            self._embedded.detach()
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
            registered = await self.write(lambda scope: register_app(scope, registration))
            self.registry = registered.registry
        self.loop.wake()
        if registered.modified:
            count = len(registration.functions)
            functions = "1 function" if count == 1 else f"{count} functions"
            _log.info("app %r is synced: %s at %s", registration.app_name, functions, registration.url)
        return registered

    async def add_endpoint(self, app_id: str, domain: str, config: FunctionConfig) -> StoredFunction:
        """Know a durable endpoint from now on (executor.md 8.1)."""
        async with self._syncing:
            function_id = await self.write(lambda scope: add_endpoint(scope, app_id, domain, config))
            self.registry = self.registry.replaced(await self.store.read(lambda tables: tables.apps.functions()))
        function = self.registry.get(function_id)
        assert function is not None
        return function

    async def remove_app(self, app_id: str) -> bool:
        """Forget an app and archive its functions; their runs go on. Return False where there is no such app."""
        async with self._syncing:
            registry = await self.write(lambda scope: remove_app(scope, app_id))
            if registry is None:
                return False
            self.registry = registry
        return True

    async def read(self, unit: Unit[T]) -> T:
        """Look something up in the store."""
        return await self.store.read(unit)

    async def _publish(self, events: Sequence[Event]) -> None:
        await self.write(lambda scope: [publish(scope, event) for event in events])
        self.loop.wake()

    async def write(self, unit: Callable[[Scope], T]) -> T:
        """Change something: the unit is one transaction, with the events that follow from it."""
        registry, now = self.registry, self.clock.now()

        def scoped(tables: Tables) -> T:
            scope = Scope(tables, registry, now)
            result = unit(scope)
            settle(scope)
            return result

        return await self.store.write(scoped)
