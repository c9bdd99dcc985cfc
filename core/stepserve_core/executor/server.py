"""Serving the executor's API: configuration, ports, start and graceful stop (executor.md 1.1 and 1.2)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import logging
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Sequence

import uvicorn
from starlette.applications import Starlette

from stepserve_core._signing_key import check_key
from stepserve_core.errors import ConfigurationError, EventKeyUnspecifiedError, SigningKeyMissingError
from stepserve_core.executor.api.http import Access
from stepserve_core.executor.api.routes import build_api
from stepserve_core.executor.apps import AppSync
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.connect.gateway import Gateway
from stepserve_core.executor.discovery import Discovery
from stepserve_core.executor.executor import GRACE, Executor
from stepserve_core.executor.fault_injection import FaultInjector
from stepserve_core.executor.fault_report import FaultReport
from stepserve_core.executor.gateway_policy import CLOUD_ENTRIES, DEV_ENTRIES, GatewayPolicy
from stepserve_core.executor.gateway_transport import DEFAULT_TIMEOUT as GATEWAY_TIMEOUT
from stepserve_core.executor.http_protocol import KEEP_ALIVE, BoundedProtocol, BoundedWebSocket
from stepserve_core.executor.http_transport import HttpTransport
from stepserve_core.executor.listening import QuietServer, bind, bind_gateway, reachable
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.retention import SHORTEST_RETENTION
from stepserve_core.executor.start_options import start_options
from stepserve_core.executor.store.damage import damaged, is_damage
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.transport import DEFAULT_TIMEOUT
from stepserve_core.faults import Faults

_log = logging.getLogger(__name__)

DEFAULT_PORT = 8288
SHORTEST_TOKEN = 16
"""Characters of a dashboard token: few enough to type, too many to guess."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How to serve.

    Args:
        kind: "dev" (no keys, a busy port moves up by one) or "cloud" (keys required, the port as given).
        host: the address to listen at.
        port: the port; 0 takes a free one.
        connect_gateway_port: the port for workers that connect; by default the one after `port`, or a free one.
        sdk_urls: apps to sync.
        database: the file; None keeps everything in memory.
        synchronous: FULL survives loss of power, NORMAL the death of the process.
        signing_key, signing_key_fallback: what signs calls, and what bearers may show.
        event_keys: what senders of events may show.
        retry_interval: fixed seconds between attempts, in place of the backoff table.
        poll: whether healthy apps are synced again at each interval; by default in dev.
        poll_interval: seconds between two rounds of syncs.
        discover: whether apps are looked for at the usual ports of this machine while none is known.
        call_timeout: seconds that a call to an app may take.
        concurrency: calls under way at once.
        gateway_allow: where gateway steps may connect to, see `GatewayPolicy`; by default the internet, and in dev
            private and loopback addresses too.
        gateway_timeout: seconds that a gateway step's request may take.
        grace: seconds that calls in flight are given at the end.
        dashboard: whether the dashboard is served.
        dashboard_token: what opens the dashboard besides the signing keys; at least 16 characters.
        allowed_hosts: names under which a server without keys may be reached, besides local ones.
        backlog_limit: runs of one function that may wait to start; further ones are skipped. None for any number.
        retention: seconds after which runs that ended and events are deleted; None keeps them.
        faults: what goes wrong on the way to apps; the log says in the end what came out.
    """

    kind: str = "dev"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    connect_gateway_port: int | None = None
    sdk_urls: Sequence[str] = ()
    database: str | None = None
    synchronous: str = "FULL"
    signing_key: str | None = None
    signing_key_fallback: str | None = None
    event_keys: Sequence[str] = ()
    retry_interval: float | None = None
    poll: bool | None = None
    poll_interval: float = 5.0
    discover: bool = False
    call_timeout: float = DEFAULT_TIMEOUT
    concurrency: int = 100
    gateway_allow: Sequence[str] = ()
    gateway_timeout: float = GATEWAY_TIMEOUT
    grace: float = GRACE
    retention: float | None = None
    backlog_limit: int | None = None
    dashboard: bool = True
    dashboard_token: str | None = None
    allowed_hosts: Sequence[str] = ()
    faults: Faults | None = None

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: with the flag or variable that sets the value.
        """
        if self.kind not in ("dev", "cloud"):
            raise ConfigurationError(f"kind must be dev or cloud, not {self.kind!r}")
        if self.kind == "cloud" and not self.signing_key:
            raise SigningKeyMissingError("a signing key is required: --signing-key or INNGEST_SIGNING_KEY")
        if self.kind == "cloud" and not any(self.event_keys):
            raise EventKeyUnspecifiedError("at least one event key is required: --event-key or INNGEST_EVENT_KEY")
        self._check_secrets()
        self._check_ports()
        if self.retention is not None and self.retention < SHORTEST_RETENTION:
            raise ConfigurationError(f"--retention must be at least {SHORTEST_RETENTION:g} s, not {self.retention:g} s")
        if self.concurrency < 1:
            raise ConfigurationError("the number of calls under way at once must be at least 1 (--queue-workers)")
        if self.backlog_limit is not None and self.backlog_limit < 1:
            raise ConfigurationError(f"--backlog-limit must be at least 1, not {self.backlog_limit}")
        GatewayPolicy(self.gateway_allow)

    def _check_ports(self) -> None:
        for flag, port in (("--port", self.port), ("--connect-gateway-port", self.connect_gateway_port)):
            if not 0 <= (port or 0) <= 65535:
                raise ConfigurationError(f"{flag} must lie between 0 and 65535, not {port}")

    def _check_secrets(self) -> None:
        if self.signing_key:
            check_key(self.signing_key, "--signing-key (INNGEST_SIGNING_KEY)")
        if self.signing_key_fallback:
            check_key(self.signing_key_fallback, "--signing-key-fallback (INNGEST_SIGNING_KEY_FALLBACK)")
        if self.dashboard_token is not None and len(self.dashboard_token) < SHORTEST_TOKEN:
            raise ConfigurationError(f"--dashboard-token must have at least {SHORTEST_TOKEN} characters")

    @property
    def is_polling(self) -> bool:
        """Whether healthy apps are synced again at each interval."""
        return self.kind == "dev" if self.poll is None else self.poll

    @property
    def access(self) -> Access:
        """Who may do what."""
        keys = [key for key in (self.signing_key, self.signing_key_fallback) if key]
        hosts = [*self.allowed_hosts, self.host]
        return Access(self.kind, keys, [key for key in self.event_keys if key], self.dashboard_token, hosts)


@dataclasses.dataclass(frozen=True)
class RunningServer:
    """A server that runs. `finished` is set when its listener has ended; without faults, `fault_report` is empty."""

    url: str
    port: int
    executor: Executor
    gateway: Gateway
    finished: asyncio.Event
    fault_report: FaultReport


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, *, clock: Clock | None = None) -> AsyncGenerator[RunningServer, None]:
    """Serve inside the running loop until the block is left; then stop gracefully.

    Raises:
        ConfigurationError: a setting, the port, or the database cannot be used.
    """
    config.check()
    with contextlib.ExitStack() as unless_served:
        listener = unless_served.enter_context(contextlib.closing(bind(config)))
        gateway_listener = unless_served.enter_context(contextlib.closing(bind_gateway(config, listener)))
        injector = None if config.faults is None else FaultInjector(config.faults)
        executor = _build_executor(config, clock, injector)
        try:
            await executor.start()
        except BaseException as error:
            await executor.stop(0)
            if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
                raise damaged(config.database, error) from None
            raise
        unless_served.pop_all()
    gateway = Gateway(executor.workers, executor.register)
    await gateway.start(gateway_listener)
    sync_transport = HttpTransport()
    sync = _build_sync(executor, sync_transport, config)
    api = build_api(executor, config.access, sync, gateway, dashboard=config.dashboard)
    api.state.start_options = start_options(config, gateway.port)
    server = QuietServer(_uvicorn_config(api, config))
    finished = asyncio.Event()
    serve_task = asyncio.create_task(server.serve(sockets=[listener]))
    serve_task.add_done_callback(lambda _: finished.set())
    sync_task = asyncio.create_task(sync.run())
    try:
        await server.listening.wait()
        port: int = listener.getsockname()[1]
        report = FaultReport(Faults()) if injector is None else injector.report
        yield RunningServer(f"http://{reachable(config.host)}:{port}", port, executor, gateway, finished, report)
    finally:
        await gateway.drain()
        # Or their subscribers would hold the server up.
        await asyncio.gather(executor.realtime.close(), api.state.live.close())
        server.stop()
        sync.stop()
        await asyncio.gather(serve_task, sync_task)
        await sync_transport.close()
        await executor.stop(config.grace)
        await gateway.close()  # after the calls in flight: workers answer them until here
        if injector is not None:
            _log.info("%s", injector.report.text())


def _build_executor(config: ServerConfig, clock: Clock | None, injector: FaultInjector | None) -> Executor:
    settings = LoopSettings(
        config.concurrency, config.call_timeout, config.retry_interval, config.signing_key, config.backlog_limit
    )
    store = Store(config.database, synchronous=config.synchronous)
    allow = config.gateway_allow or (DEV_ENTRIES if config.kind == "dev" else CLOUD_ENTRIES)
    return Executor(
        store,
        clock=clock,
        settings=settings,
        gateway_allow=allow,
        gateway_timeout=config.gateway_timeout,
        retention=config.retention,
        around=None if injector is None else injector.around,
    )


def _uvicorn_config(api: Starlette, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        api,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=BoundedProtocol,
        ws=BoundedWebSocket,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=max(1, round(config.grace)),
    )


def _build_sync(executor: Executor, transport: HttpTransport, config: ServerConfig) -> AppSync:
    return AppSync(
        executor,
        transport,
        urls=config.sdk_urls,
        kind=config.kind,
        signing_key=config.signing_key,
        interval=config.poll_interval,
        poll_healthy=config.is_polling,
        discovery=Discovery() if config.discover else None,
    )


def run(config: ServerConfig, on_started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `on_started` is told the URL; by default it is written to stderr.

    Raises:
        ConfigurationError: as `serving`.
    """
    asyncio.run(_run(config, on_started or _say))


def _say(url: str) -> None:
    sys.stderr.write(f"stepserve listens at {url}\n")
    sys.stderr.flush()


async def _run(config: ServerConfig, on_started: Callable[[str], None]) -> None:
    async with serving(config) as server:
        # The process is ours alone. What it has loaded by now it keeps, and what a step leaves is freed without the
        # collector: looking for cycles every 700 objects took a tenth of the CPU.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        loop = asyncio.get_running_loop()
        stop = server.finished
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
                loop.add_signal_handler(number, stop.set)
        on_started(server.url)
        await stop.wait()
