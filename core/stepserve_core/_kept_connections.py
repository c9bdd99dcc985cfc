"""Requests that follow each other to one server, over connections that are kept open.

A run that saves each of its steps makes a request for each. httpx takes 0.4 ms of CPU for one, and more in an event
loop; `http.client` of the standard library takes a quarter of that, also from a thread beside the loop, which is where
`async def` functions have it done. There are no proxies, redirects or cookies here: where a proxy is set up, `_http`
asks httpx.

A server may close a kept connection at any time. So what fails there is sent again over a new one, and requests that
must not be repeated have no place here.
"""

from __future__ import annotations

import atexit
import http.client
import io
import os
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from stepserve_core._runtime import Runtime
from stepserve_core._threads import senders

if TYPE_CHECKING:
    import ssl

    from _typeshed import WriteableBuffer

EXPIRY = 4.0
"""Seconds for which a connection is kept; many servers close theirs after 5."""

MOST_KEPT = 64
"""Connections that are kept; more may be in use, as many as there are threads that send."""

FAILURES: Final = (OSError, http.client.HTTPException, ValueError)
"""What is raised where no response comes back. ValueError: HTTP cannot carry a header, or part of the URL."""

Reply = tuple[int, bytes]
"""Status and body."""

Verify = Callable[[], "ssl.SSLContext"]
"""Returns the certificates to trust; called when a connection needs them."""


class Request(NamedTuple):
    """What is sent; `ends_at` is when the response must be there, by `time.monotonic`."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes
    ends_at: float

    @property
    def target(self) -> str:
        """The path and the query."""
        path = self.url.path or "/"
        return f"{path}?{self.url.query}" if self.url.query else path

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        return _remaining(self.ends_at)


def _remaining(ends_at: float) -> float:
    remaining = ends_at - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("no response came in time")
    return remaining


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a moment; its own timeout would begin anew with each byte that comes."""

    def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
        self._connection = connection
        self._raw = raw
        self._ends_at = time.monotonic() + cast("float", connection.gettimeout())

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Read what has come."""
        self._connection.settimeout(_remaining(self._ends_at))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close it."""
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that has to be read within the timeout that the socket had when it began."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read the head; responses that only inform (1xx) come before it."""
        super().begin()
        while self.status < HTTPStatus.OK:
            self.headers = self.msg = cast("http.client.HTTPMessage", None)
            super().begin()


class _PlainConnection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


_Connection = _PlainConnection | _SecureConnection


def make_request(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Request:
    """Return a request to an http or https URL, with `timeout` seconds from now on."""
    return Request(method, urlsplit(url), headers, body, time.monotonic() + timeout)


def _connect(request: Request, verify: Verify) -> _Connection:
    url, timeout = request.url, request.remaining()
    host = url.hostname or ""
    if url.scheme == "https":
        connection: _Connection = _SecureConnection(host, url.port, timeout=timeout, context=verify())
    else:
        connection = _PlainConnection(host, url.port, timeout=timeout)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


def _exchange(connection: _Connection, request: Request) -> Reply:
    """Send a request and return the response; keep the connection, or close it."""
    may_follow = False
    try:
        connection.sock.settimeout(request.remaining())
        connection.request(request.method, request.target, request.body, request.headers)
        connection.sock.settimeout(request.remaining())
        response = connection.getresponse()
        reply = response.status, response.read()
        may_follow = not response.will_close
    finally:
        if not may_follow:
            connection.close()
    if may_follow:
        _connections.put(request, connection)
    return reply


def _is_silent(connection: _Connection) -> bool:
    """Say whether nothing came over a kept connection: neither its end nor an answer to a request never made."""
    connection.sock.settimeout(0)
    try:
        socket.socket.recv(connection.sock, 1, socket.MSG_PEEK)  # of the socket itself, below TLS
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


class _Connections:
    """The connections that wait for their next request. May be used by several threads."""

    def __init__(self) -> None:
        self._has_proxy: bool | None = None
        self._waiting: list[tuple[tuple[str, str], float, _Connection]] = []

    def has_proxy(self) -> bool:
        """Say whether a proxy is set up, in the environment or in the system, when this is first asked."""
        if self._has_proxy is None:
            self._has_proxy = bool(getproxies())
        return self._has_proxy

    def take(self, request: Request) -> _Connection | None:
        """Return a connection to the server of a request, if one is kept: the one that was used last."""
        for entry in reversed(self._waiting):
            origin, since, connection = entry
            if origin == request.url[:2] and self._remove(entry):
                if time.monotonic() - since < EXPIRY and _is_silent(connection):
                    return connection
                connection.close()
        return None

    def _remove(self, entry: tuple[tuple[str, str], float, _Connection]) -> bool:
        try:
            self._waiting.remove(entry)
        except ValueError:  # another thread was faster
            return False
        return True

    def put(self, request: Request, connection: _Connection) -> None:
        """Keep a connection."""
        self._waiting.append((request.url[:2], time.monotonic(), connection))
        if len(self._waiting) > MOST_KEPT:
            self._waiting.pop(0)[2].close()

    def close(self) -> None:
        """Close what waits."""
        while self._waiting:
            self._waiting.pop()[2].close()


def can_reach(url: str) -> bool:
    """Say whether requests to `url` can be sent from here, and not only by httpx."""
    has_password = "@" in url
    return url.startswith(("http://", "https://")) and not has_password and not _connections.has_proxy()


async def send(runtime: Runtime, request: Request, verify: Verify) -> Reply:
    """Send a request and wait for its response.

    Raises:
        OSError, http.client.HTTPException, ValueError: none came back, after the second attempt if the first one was
            over a kept connection.
    """
    if not runtime.is_async:
        return _send(request, verify)
    import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

    return await asyncio.wrap_future(senders.submit(lambda: _send(request, verify)))


def _send(request: Request, verify: Verify) -> Reply:
    connection = _connections.take(request)
    if connection is not None:
        try:
            return _exchange(connection, request)
        except TimeoutError:
            raise
        except FAILURES:  # the server has closed it
            pass
    return _exchange(_connect(request, verify), request)


_connections = _Connections()


@atexit.register
def _close_at_exit() -> None:
    _connections.close()


def _forget_connections() -> None:
    """Start anew in a forked child: two processes must not share sockets."""
    _connections.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_connections)
