"""Outgoing HTTP for both runtimes. httpx is imported when the first request leaves, not before."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from stepserve_core._http_log import hide_keys
from stepserve_core._in_process import server_of
from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    import asyncio
    import ssl

    import httpx

    from stepserve_core._client import Inngest


class HTTPResponse(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class HTTPFailedError(Exception):
    """No response came back: the connection failed, or took too long."""


class _Bound(NamedTuple):
    """A client that is bound to an event loop, and what closes it."""

    client: httpx.AsyncClient
    closer: AsyncGenerator[None, None]


class _Clients:
    """One sync client for the process; one async client for each event loop, closed with its loop.

    An httpx.AsyncClient is bound to the loop of its first request. Programs run many loops one after the other
    (scripts, tests, Lambda), so each loop gets a client of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._ssl_context: ssl.SSLContext | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, _Bound] = {}

    def _verify(self) -> ssl.SSLContext:
        # Reading the certificates takes 20 ms; one context serves all clients.
        if self._ssl_context is None:
            import httpx  # noqa: PLC0415 - a program that only serves calls does not pay for importing it

            hide_keys()
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context

    def sync(self) -> httpx.Client:
        if self._sync is None:
            import httpx  # noqa: PLC0415

            with self._lock:
                if self._sync is None:
                    self._sync = httpx.Client(verify=self._verify())
                    atexit.register(self._sync.close)
        return self._sync

    async def of_running_loop(self) -> httpx.AsyncClient:
        import asyncio  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        bound = self._by_loop.get(loop)
        if bound is None:
            self._forget_closed_loops()
            bound = self._by_loop[loop] = self._bind(loop)
            await bound.closer.asend(None)
        return bound.client

    def _bind(self, loop: asyncio.AbstractEventLoop) -> _Bound:
        import httpx  # noqa: PLC0415

        client = httpx.AsyncClient(verify=self._verify())

        async def close_with_loop() -> AsyncGenerator[None, None]:
            # A loop finishes its async generators before it closes; asyncio.run does so for everybody.
            try:
                yield
            finally:
                self._by_loop.pop(loop, None)
                await client.aclose()

        return _Bound(client, close_with_loop())

    def _forget_closed_loops(self) -> None:
        """Forget loops that were closed without finishing their generators; their sockets went with them."""
        for loop in list(self._by_loop):  # a copy: other threads may add theirs
            if loop.is_closed():
                self._by_loop.pop(loop, None)


async def ask(
    client: Inngest,
    runtime: Runtime,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float,
) -> HTTPResponse:
    """Send a request of `client` to its server: in this process if it is here, otherwise as `send` does.

    Raises:
        HTTPFailedError: no response came back.
    """
    server = server_of(client)
    if server is None:
        return await send(runtime, method, url, headers=headers, body=body, timeout=timeout)
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return await server.answer(runtime, method, target, headers, body or b"")


async def send(
    runtime: Runtime,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float,
) -> HTTPResponse:
    """Send a request and wait for its response.

    Args:
        timeout: seconds without progress after which we give up.

    Raises:
        HTTPFailedError: no response came back.
    """
    arguments: dict[str, Any] = {"headers": dict(headers), "content": body, "timeout": timeout}
    import httpx  # noqa: PLC0415

    try:
        if runtime.is_async:
            client = await _clients.of_running_loop()
            response = await client.request(method, url, **arguments)
        else:
            response = _clients.sync().request(method, url, **arguments)
    except httpx.HTTPError as error:
        raise HTTPFailedError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
    return HTTPResponse(response.status_code, response.content)


_clients = _Clients()


def _forget_clients() -> None:
    """Start anew in a forked child: two processes must not share sockets."""
    _clients.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_clients)
