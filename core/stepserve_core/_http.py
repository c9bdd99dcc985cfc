"""Outgoing HTTP for both runtimes. httpx is imported when the first request leaves, not before."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    import asyncio

    import httpx


class HTTPResponse(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class HTTPFailedError(Exception):
    """No response came back: the connection failed, or took too long."""


class _Clients:
    """One sync client for the process; one async client for each event loop, closed with its loop.

    An httpx.AsyncClient is bound to the loop of its first request. Programs run many loops one after the other
    (scripts, tests, Lambda), so each loop gets a client of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    def sync(self) -> httpx.Client:
        if self._sync is None:
            import httpx  # noqa: PLC0415 - a program that only serves calls does not pay for importing it

            with self._lock:
                if self._sync is None:
                    self._sync = httpx.Client()
                    atexit.register(self._sync.close)
        return self._sync

    async def of_running_loop(self) -> httpx.AsyncClient:
        import asyncio  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            import httpx  # noqa: PLC0415

            client = self._by_loop[loop] = httpx.AsyncClient()
            # A loop finishes its async generators before it closes (asyncio.run does it for everybody).
            closer = _close_with_loop(client)
            await closer.asend(None)
            _closers[loop] = closer
        return client


async def _close_with_loop(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


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
_closers: weakref.WeakKeyDictionary[Any, AsyncGenerator[None, None]] = weakref.WeakKeyDictionary()


def _forget_clients() -> None:
    """Start anew in a forked child: two processes must not share sockets."""
    _clients.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_clients)
