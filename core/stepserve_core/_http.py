"""Outgoing HTTP for both runtimes. httpx is imported when the first request leaves, not before."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from stepserve_core._http_log import hide_keys
from stepserve_core._in_process import server_of
from stepserve_core._loop_bound import LoopBound
from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    import ssl

    import httpx

    from stepserve_core._client import Inngest


class HTTPResponse(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class HTTPFailedError(Exception):
    """No response came back: the connection failed, or took too long."""


def pause_before(attempt: int) -> float:
    """Return how many seconds to wait before a repeated attempt, 1 or later: ever longer, by chance a little more."""
    jitter = os.urandom(1)[0] / 2550  # up to a tenth of a second
    return 0.1 * float(2 ** (attempt - 1)) + jitter


class _Clients:
    """One sync client for the process, and one async client for each event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._ssl_context: ssl.SSLContext | None = None
        self.by_loop = LoopBound(self._make_async, _close_client)

    def verify(self) -> ssl.SSLContext:
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
                    self._sync = httpx.Client(verify=self.verify())
                    atexit.register(self._sync.close)
        return self._sync

    def _make_async(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415

        return httpx.AsyncClient(verify=self.verify())


async def _close_client(client: httpx.AsyncClient) -> None:
    await client.aclose()


async def ask(
    client: Inngest,
    runtime: Runtime,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float,
    repeatable: bool = False,
) -> HTTPResponse:
    """Send a request of `client` to its server: in this process if it is here, otherwise as `send` does.

    Raises:
        HTTPFailedError: no response came back.
    """
    server = server_of(client)
    if server is None:
        return await send(runtime, method, url, headers=headers, body=body, timeout=timeout, repeatable=repeatable)
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
    repeatable: bool = False,
) -> HTTPResponse:
    """Send a request and wait for its response.

    Args:
        timeout: seconds without progress after which we give up; for a repeatable request, seconds for all of it.
        repeatable: whether it does no harm to send it again. Such requests take a quarter of the CPU.

    Raises:
        HTTPFailedError: no response came back.
    """
    if repeatable:
        from stepserve_core import _kept_connections as kept  # noqa: PLC0415 - most programs send no such requests

        if kept.can_reach(url):
            request = kept.make_request(method, url, headers, body or b"", timeout)
            try:
                return HTTPResponse(*await kept.send(runtime, request, _clients.verify))
            except kept.FAILURES as error:
                raise _failed(error) from error
    arguments: dict[str, Any] = {"headers": dict(headers), "content": body, "timeout": timeout}
    import httpx  # noqa: PLC0415

    try:
        if runtime.is_async:
            client = await _clients.by_loop.get()
            response = await client.request(method, url, **arguments)
        else:
            response = _clients.sync().request(method, url, **arguments)
    except httpx.HTTPError as error:
        raise _failed(error) from error
    return HTTPResponse(response.status_code, response.content)


def _failed(error: Exception) -> HTTPFailedError:
    return HTTPFailedError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


_clients = _Clients()


def _forget_clients() -> None:
    """Start anew in a forked child: two processes must not share sockets."""
    _clients.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_clients)
