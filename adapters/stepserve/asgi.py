"""ASGI: requests from a scope, and the application object that adapters mount as a route."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.handler import BODY_LIMIT, AsyncStream, Handler, Request, Response, ServeOptions

FRAMEWORK = "asgi"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> ASGIApp:
    """Return an ASGI application that serves `functions` wherever it is mounted; see `Handler` for the options.

    Its server or your router decides which paths lead to it; `serve_path` is only what it reports.
    """
    return ASGIApp(Handler(client, functions, framework=FRAMEWORK, **options))


class ASGIApp:
    """An ASGI application that serves one handler at whatever path it is mounted."""

    def __init__(self, handler: Handler, *, raw_request: Callable[[Scope], object] = dict) -> None:
        self._handler = handler
        self._raw_request = raw_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; there is nothing to start or stop.

        Raises:
            RuntimeError: what is asked for is neither HTTP nor lifespan.
        """
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"stepserve serves http, not {scope['type']}")
        body = await _read_body(receive)
        if body is None:
            return  # the client went away before its request was complete
        request = request_from(scope, body, self._raw_request(scope))
        await _send_response(await self._handler.astream(request), receive, send)


def request_from(scope: Scope, body: bytes, raw: object) -> Request:
    """Return the core's request for an ASGI scope."""
    headers, query = ScopeHeaders(scope), scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"], partial(_url, scope, headers), headers, body, raw, query_string=query)


class ScopeHeaders:
    """Finds headers in an ASGI scope by their lower-case names; of several values, the first."""

    __slots__ = ("_values",)

    def __init__(self, scope: Scope) -> None:
        self._values: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None."""
        value = self._values.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")


def _url(scope: Scope, headers: ScopeHeaders) -> str:
    host = headers.get("host")
    if host is None:
        server = scope.get("server") or ("localhost", None)
        host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
    url = f"{scope.get('scheme', 'http')}://{host}{quote(_full_path(scope))}"
    query = scope.get("query_string", b"")
    return f"{url}?{query.decode('latin-1')}" if query else url


def _full_path(scope: Scope) -> str:
    """Return the path as the outside world knows it.

    A path begins with its root path, says ASGI; older servers and routers, and proxies, cut the root path off.
    """
    path: str = scope["path"]
    root_path = scope.get("root_path", "").rstrip("/")
    if not root_path:
        return path
    joined: str = root_path + path
    was_cut_off = unquote((scope.get("raw_path") or b"").decode("latin-1")) == joined
    return joined if was_cut_off or not f"{path}/".startswith(f"{root_path}/") else path


async def _live(receive: Receive, send: Send) -> None:
    """Agree to start and to stop: some hosts insist on the lifespan protocol."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body, of one that is refused for its size the beginning; None if the client went away before."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_LIMIT or not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _send_response(response: Response | AsyncStream, receive: Receive, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    if isinstance(response, AsyncStream):
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async with contextlib.aclosing(response.chunks) as chunks:
            await _send_while_connected(chunks, receive, send)
        return
    headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _send_while_connected(chunks: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """Send chunks until the client goes away, of which most servers do not tell who sends."""
    import asyncio  # noqa: PLC0415 - whoever calls this has loaded it; WSGI adapters import this module too

    tasks = [asyncio.ensure_future(_send_chunks(chunks, send)), asyncio.ensure_future(_wait_for_end(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # Only when nobody reads them any more can the chunks be closed.
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _send_chunks(chunks: AsyncGenerator[bytes, None], send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _wait_for_end(receive: Receive) -> None:
    """Return when the client has gone away; of a host that says something else now, nothing can be learned."""
    import asyncio  # noqa: PLC0415

    if (await receive())["type"] != "http.disconnect":
        await asyncio.Future[None]()
