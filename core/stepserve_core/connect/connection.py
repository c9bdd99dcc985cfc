"""`connect`: what users call, and the connection that it gives them (protocol.md 10.9)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import platform
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from stepserve_core import _registration
from stepserve_core._client import Inngest
from stepserve_core._function import Function
from stepserve_core._serialize import encode_wire
from stepserve_core._version import VERSION
from stepserve_core.connect.calls import APP_URL
from stepserve_core.connect.messages import AppConfiguration, SystemAttributes, WorkerConnect
from stepserve_core.connect.state import ConnectionState, StateBox
from stepserve_core.connect.timing import current_timing
from stepserve_core.connect.worker import Worker
from stepserve_core.errors import ConfigurationError, ConnectError
from stepserve_core.handler import Handler

if TYPE_CHECKING:
    from types import FrameType

FRAMEWORK = "connect"
CONCURRENCY_VARIABLE = "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"
_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Apps = Sequence[tuple[Inngest, Sequence[Function[Any]]]]


class WorkerConnection(Protocol):
    """A worker's connection to the server."""

    async def close(self, *, wait: bool = False) -> None:
        """Take no more calls and finish those under way; with `wait`, return when that is done."""
        ...

    async def closed(self) -> None:
        """Return when the connection is closed."""
        ...

    def get_connection_id(self) -> str:
        """Return the id of the connection.

        Raises:
            ConnectError: there is none now.
        """
        ...

    def get_state(self) -> ConnectionState:
        """Return where the connection stands."""
        ...

    async def start(self) -> None:
        """Connect, and serve calls until the connection is closed.

        Raises:
            ConnectError: the server cannot be reached, or does not let the worker in (`ConnectRefusedError`).
            ConfigurationError: `rewrite_gateway_endpoint` gave something that is no WebSocket URL.
        """
        ...

    async def wait_for_state(self, state: ConnectionState) -> None:
        """Return when the connection stands there.

        Raises:
            ConnectError: it is closed, and never will.
        """
        ...


def connect(
    apps: list[tuple[Inngest, list[Function[Any]]]],
    *,
    instance_id: str | None = None,
    rewrite_gateway_endpoint: Callable[[str], str] | None = None,
    shutdown_signals: list[signal.Signals] | None = None,
    max_worker_concurrency: int | None = None,
) -> WorkerConnection:
    """Return a worker that serves the functions of `apps` over a WebSocket which it opens itself.

        asyncio.run(connect([(client, [process_order])]).start())

    Args:
        apps: clients and their functions. All clients name the same server, environment, mode and signing key.
        instance_id: names this worker; else the name of the host.
        rewrite_gateway_endpoint: changes the WebSocket URL that the server names, as for a proxy.
        shutdown_signals: signals at which calls under way are finished and the connection is closed; else SIGINT and
            SIGTERM, where this is called in the main thread.
        max_worker_concurrency: calls that are executed at once; else INNGEST_CONNECT_MAX_WORKER_CONCURRENCY.

    Raises:
        ConfigurationError: the apps are none, or do not go together.
        FunctionConfigInvalidError: an app has no functions, or two with the same id.
        SigningKeyMissingError: production mode without a signing key.
    """
    _check(apps)
    if shutdown_signals is None:
        is_main = threading.current_thread() is threading.main_thread()
        shutdown_signals = list(_DEFAULT_SIGNALS) if is_main else []
    return _WorkerConnection(
        apps,
        instance_id or socket.gethostname(),
        rewrite_gateway_endpoint,
        shutdown_signals,
        _max_concurrency(max_worker_concurrency),
    )


class _WorkerConnection:
    """See `WorkerConnection`. The worker runs in a thread of its own, functions in the loop that called `start`."""

    def __init__(
        self,
        apps: Apps,
        instance_id: str,
        rewriter: Callable[[str], str] | None,
        signals: list[signal.Signals],
        max_concurrency: int | None,
    ) -> None:
        self._client = apps[0][0]
        self._handlers = {
            client.app_id: Handler(client, functions, framework=FRAMEWORK, in_process=True)
            for client, functions in apps
        }
        self._hello = _hello(apps, instance_id, max_concurrency)
        self._rewriter = rewriter
        self._signals = signals
        self._timing = current_timing()
        self._state = StateBox()
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_started = False
        self._is_closing = False

    async def start(self) -> None:
        if self._is_started:
            raise ConnectError("start() was called before; make another connection with connect()")
        self._is_started = True
        if self._is_closing:
            return
        user_loop = asyncio.get_running_loop()
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        thread = threading.Thread(target=self._run, args=(user_loop, done), name="stepserve-connect", daemon=True)
        thread.start()
        with self._handling_signals():
            try:
                await asyncio.shield(asyncio.wrap_future(done))
            except asyncio.CancelledError:
                self._abort()
                raise
        await asyncio.to_thread(thread.join)

    def _run(self, user_loop: asyncio.AbstractEventLoop, done: concurrent.futures.Future[None]) -> None:
        """Run the worker to its end, in the thread."""
        try:
            asyncio.run(self._work(user_loop))
        except asyncio.CancelledError:  # start() was
            self._state.set(ConnectionState.CLOSED)
            done.cancel()
        except BaseException as error:
            self._state.set(ConnectionState.CLOSED)
            done.set_exception(error)
        else:
            self._state.set(ConnectionState.CLOSED)
            done.set_result(None)

    async def _work(self, user_loop: asyncio.AbstractEventLoop) -> None:
        self._task = asyncio.current_task()
        self._worker = Worker(
            self._client, self._hello, self._handlers, user_loop, self._state, self._timing, self._rewriter
        )
        self._loop = asyncio.get_running_loop()
        if self._is_closing:
            self._worker.close()
        await self._worker.run()

    def _begin_to_close(self) -> None:
        self._is_closing = True
        if not self._is_started:
            self._state.set(ConnectionState.CLOSED)
        self._state.set(ConnectionState.CLOSING)
        self._in_worker(lambda: self._worker.close() if self._worker else None)

    def _abort(self) -> None:
        self._in_worker(lambda: self._task.cancel() if self._task else None)

    def _in_worker(self, action: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(action)

    async def close(self, *, wait: bool = False) -> None:
        self._begin_to_close()
        if wait:
            await self.closed()

    async def closed(self) -> None:
        await self._state.wait_for(ConnectionState.CLOSED)

    def get_connection_id(self) -> str:
        session = None if self._worker is None else self._worker.session
        if session is None:
            raise ConnectError("connection not established")
        return session.connection_id

    def get_state(self) -> ConnectionState:
        return self._state.get()

    async def wait_for_state(self, state: ConnectionState) -> None:
        await self._state.wait_for(state)

    @contextmanager
    def _handling_signals(self) -> Generator[None, None, None]:
        """Close at the first signal; a second one does what it would do without us."""
        former: dict[signal.Signals, Any] = {}

        def restore() -> None:
            while former:
                signal.signal(*former.popitem())

        def close(number: int, frame: FrameType | None) -> None:
            del number, frame
            restore()
            self._begin_to_close()

        if threading.current_thread() is threading.main_thread():
            former.update({number: signal.signal(number, close) for number in self._signals})
        try:
            yield
        finally:
            restore()


def _check(apps: Apps) -> None:
    if not apps:
        raise ConfigurationError("no apps provided")
    for entry in apps:
        if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], Inngest):
            raise ConfigurationError(
                "connect() takes a list of (client, functions), such as [(client, [process_order])]"
            )
    clients = [client for client, _ in apps]
    first = clients[0]
    first.settings.require_signing_key()
    for client in clients[1:]:
        for what, mine, others in (
            ("API base URL", client.api_origin, first.api_origin),
            ("env", client.env, first.env),
            ("mode", client.is_production, first.is_production),
            ("signing key", client.signing_key, first.signing_key),
        ):
            if mine != others:
                raise ConfigurationError(f"inconsistent app config: {what} (of {client.app_id!r} and {first.app_id!r})")
    if len({client.app_id for client in clients}) < len(clients):
        raise ConfigurationError("two apps have the same app id; put their functions into one list")


def _max_concurrency(argument: int | None) -> int | None:
    if argument is not None and (type(argument) is not int or argument < 1):
        raise ConfigurationError(f"max_worker_concurrency must be a whole number above 0, not {argument!r}")
    if argument is not None:
        return argument
    text = os.environ.get(CONCURRENCY_VARIABLE, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _hello(apps: Apps, instance_id: str, max_concurrency: int | None) -> WorkerConnect:
    """Return what the worker says of itself (protocol.md 12.3)."""
    return WorkerConnect(
        instance_id=instance_id,
        capabilities=encode_wire(_registration.CAPABILITIES),
        apps=[
            AppConfiguration(
                client.app_id,
                client.app_version,
                encode_wire(_registration.function_configs(functions, APP_URL)),
            )
            for client, functions in apps
        ],
        system_attributes=SystemAttributes(os.cpu_count() or 0, _memory(), platform.system().lower()),
        environment=apps[0][0].env,
        framework=FRAMEWORK,
        sdk_version=VERSION,
        sdk_language="py",
        max_worker_concurrency=max_concurrency,
    )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a platform that does not say
        return 0
