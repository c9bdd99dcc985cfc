"""Requests that follow each other to one server, over connections that are kept open; for both colours.

A run that saves each of its steps makes a request for each. httpx takes 0.4 ms of CPU for one, and 1 ms from an event
loop; this takes a fraction of that. HTTP itself is done by h11, as it is for httpx. There are no proxies, redirects or
cookies here: where a proxy is set up, `_http` asks httpx.

A server may close a kept connection at any time. So what fails there is sent again over a new one, and requests that
must not be repeated have no place here.
"""

from __future__ import annotations

import atexit
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

import h11

from stepserve_core._loop_bound import LoopBound
from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    import asyncio
    import ssl

EXPIRY = 4.0
"""Seconds for which a connection is kept; many servers close theirs after 5."""

MOST_KEPT = 20
"""Connections that are kept; more may be in use."""

_READ_SIZE: Final = 64 * 1024
_PORTS: Final = {"http": 80, "https": 443}

FAILURES: Final = (OSError, h11.ProtocolError)
"""What is raised where no response comes back."""

Reply = tuple[int, bytes]
"""Status and body."""

Verify = Callable[[], "ssl.SSLContext"]
"""Returns the certificates to trust; called when a connection needs them."""


class _Closable(Protocol):
    def close(self) -> None: ...


ConnectionT = TypeVar("ConnectionT", bound=_Closable)


class Request(NamedTuple):
    """What is sent. `timeout` is in seconds."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes
    timeout: float

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port of the server."""
        return self.url.scheme, self.url.hostname or "", self.url.port or _PORTS[self.url.scheme]


def make_request(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Request:
    """Return a request to an http or https URL."""
    return Request(method, urlsplit(url), headers, body, timeout)


class _Exchange:
    """One request and its response, as bytes."""

    def __init__(self, http: h11.Connection, request: Request) -> None:
        self._http = http
        path = request.url.path or "/"
        target = f"{path}?{request.url.query}" if request.url.query else path
        length = str(len(request.body))
        headers = [("host", request.url.netloc), *request.headers.items(), ("content-length", length)]
        head = http.send(h11.Request(method=request.method, target=target, headers=headers))
        body = http.send(h11.Data(request.body))
        http.send(h11.EndOfMessage())
        self.sent = (head or b"") + (body or b"")
        self._status = 0
        self._chunks: list[bytes] = []

    def receive(self, data: bytes) -> bool:
        """Take in what came, nothing at the end of the connection; say whether the response is complete.

        Raises:
            h11.RemoteProtocolError: it is no response, or was cut off.
        """
        self._http.receive_data(data)
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.Response):
                self._status = event.status_code
            elif isinstance(event, h11.Data):
                self._chunks.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return True

    @property
    def reply(self) -> Reply:
        """The response."""
        return self._status, b"".join(self._chunks)

    def may_follow(self) -> bool:
        """Say whether another request may go over the connection, and prepare for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True


class Kept(Generic[ConnectionT]):
    """Connections that wait for their next request. May be used by several threads."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[str, str, int], float, ConnectionT]] = []

    def take(self, request: Request) -> ConnectionT | None:
        """Return a connection to the server of a request, if one is kept."""
        origin = request.origin
        for entry in reversed(self._waiting):
            if entry[0] == origin and self._remove(entry):
                if time.monotonic() - entry[1] < EXPIRY:
                    return entry[2]
                entry[2].close()
        return None

    def _remove(self, entry: tuple[tuple[str, str, int], float, ConnectionT]) -> bool:
        try:
            self._waiting.remove(entry)
        except ValueError:  # another thread was faster
            return False
        return True

    def put(self, request: Request, connection: ConnectionT) -> None:
        """Keep a connection."""
        self._waiting.append((request.origin, time.monotonic(), connection))
        if len(self._waiting) > MOST_KEPT:
            self._waiting.pop(0)[2].close()

    def close(self) -> None:
        """Close what waits."""
        while self._waiting:
            self._waiting.pop()[2].close()


class SyncConnection:
    """A connection of `def` functions."""

    def __init__(self, request: Request, verify: Verify) -> None:
        scheme, host, port = request.origin
        self._socket: socket.socket = socket.create_connection((host, port), request.timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            self._socket = verify().wrap_socket(self._socket, server_hostname=host)
        self._http = h11.Connection(h11.CLIENT)

    def exchange(self, request: Request, kept: Kept[SyncConnection]) -> Reply:
        """Send a request and return the response; keep the connection, or close it."""
        may_follow = False
        try:
            exchange = _Exchange(self._http, request)
            self._socket.settimeout(request.timeout)
            self._socket.sendall(exchange.sent)
            while not exchange.receive(self._socket.recv(_READ_SIZE)):
                pass
            may_follow = exchange.may_follow()
        finally:
            if not may_follow:
                self.close()
        if may_follow:
            kept.put(request, self)
        return exchange.reply

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class AsyncConnection:
    """A connection of `async def` functions, bound to their event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._is_late = False

    async def exchange(self, request: Request, kept: Kept[AsyncConnection]) -> Reply:
        """Send a request and return the response; keep the connection, or close it."""
        import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

        may_follow = False
        timer = asyncio.get_running_loop().call_later(request.timeout, self._give_up)
        try:
            exchange = _Exchange(self._http, request)
            self._writer.write(exchange.sent)
            while not exchange.receive(await self._reader.read(_READ_SIZE)):
                pass
            may_follow = exchange.may_follow()
        except FAILURES:
            if self._is_late:
                raise TimeoutError(f"no response came within {request.timeout:g} s") from None
            raise
        finally:
            timer.cancel()
            if not may_follow:
                self.close()
        if may_follow:
            kept.put(request, self)
        return exchange.reply

    def _give_up(self) -> None:
        self._is_late = True
        self._writer.transport.abort()  # whoever reads sees the end of the connection

    def close(self) -> None:
        """Close it."""
        self._writer.close()


async def _open(request: Request, verify: Verify) -> AsyncConnection:
    import asyncio  # noqa: PLC0415

    scheme, host, port = request.origin
    opening = asyncio.open_connection(host, port, ssl=verify() if scheme == "https" else None)
    try:
        return AsyncConnection(*await asyncio.wait_for(opening, request.timeout))
    except asyncio.TimeoutError:
        raise TimeoutError(f"no connection to {host} port {port} within {request.timeout:g} s") from None


class _Connections:
    """All that is kept: by the threads of the process, and by each event loop."""

    def __init__(self) -> None:
        self._has_proxy: bool | None = None
        self.sync: Kept[SyncConnection] = Kept()
        self.by_loop: LoopBound[Kept[AsyncConnection]] = LoopBound(Kept, _close)

    def has_proxy(self) -> bool:
        """Say whether a proxy is set up, in the environment or in the system, when this is first asked."""
        if self._has_proxy is None:
            self._has_proxy = bool(getproxies())
        return self._has_proxy


async def _close(kept: Kept[AsyncConnection]) -> None:
    import asyncio  # noqa: PLC0415

    kept.close()
    await asyncio.sleep(0)  # the loop closes sockets in its next turn


def can_reach(url: str) -> bool:
    """Say whether requests to `url` can be sent from here, and not only by httpx."""
    has_password = "@" in url
    return url.startswith(("http://", "https://")) and not has_password and not _connections.has_proxy()


async def send(runtime: Runtime, request: Request, verify: Verify) -> Reply:
    """Send a request and wait for its response.

    Raises:
        OSError, h11.ProtocolError: none came back, after the second attempt if the first one was over a kept
            connection.
    """
    if runtime.is_async:
        return await _send_async(await _connections.by_loop.get(), request, verify)
    return _send_sync(_connections.sync, request, verify)


def _send_sync(kept: Kept[SyncConnection], request: Request, verify: Verify) -> Reply:
    connection = kept.take(request)
    if connection is not None:
        try:
            return connection.exchange(request, kept)
        except TimeoutError:
            raise
        except FAILURES:  # the server has closed it
            pass
    return SyncConnection(request, verify).exchange(request, kept)


async def _send_async(kept: Kept[AsyncConnection], request: Request, verify: Verify) -> Reply:
    connection = kept.take(request)
    if connection is not None:
        try:
            return await connection.exchange(request, kept)
        except TimeoutError:
            raise
        except FAILURES:
            pass
    return await (await _open(request, verify)).exchange(request, kept)


_connections = _Connections()


@atexit.register
def _close_at_exit() -> None:
    _connections.sync.close()


def _forget_connections() -> None:
    """Start anew in a forked child: two processes must not share sockets."""
    _connections.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)
