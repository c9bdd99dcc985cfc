"""Serve functions from an aiohttp web application.

Async functions run on the event loop of the server, sync functions in threads beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web
from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.handler import (
    BODY_LIMIT,
    DEFAULT_PATH,
    AsyncStream,
    Handler,
    MountOptions,
    Request,
    ServeOptions,
    resolve_path,
)

FRAMEWORK = "aiohttp"


def serve(
    app: web.Application, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.add_routes(_routes(resolve_path(options.get("serve_path")), handler))


def routes(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> list[web.RouteDef]:
    """Return the routes that serve `functions` at `path`; see `Handler` for the options.

    `app.add_routes(routes(client, functions))`, also of an app that becomes a `subapp` of another.
    """
    return _routes(path, Handler(client, functions, framework=FRAMEWORK, **options))


def _routes(path: str, handler: Handler) -> list[web.RouteDef]:
    view = _view(handler)
    return [web.get(path, view), web.post(path, view), web.put(path, view)]


def _view(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def view(request: web.Request) -> web.StreamResponse:
        url = f"{request.scheme}://{request.host}{request.raw_path}"
        try:
            body = await _read_body(request)
        except ConnectionResetError:  # the client went away before its request was complete
            return web.Response(status=400)
        response = await handler.astream(Request(request.method, url, request.headers, body, request))
        if not isinstance(response, AsyncStream):
            return web.Response(body=response.body, status=response.status, headers=response.headers)
        streamed = web.StreamResponse(status=response.status, headers=response.headers)
        async with contextlib.aclosing(response.chunks) as chunks:
            # Who went away is not waited for; leaving the block ends the work.
            with contextlib.suppress(ConnectionResetError):
                await streamed.prepare(request)
                async for chunk in chunks:
                    await streamed.write(chunk)
        return streamed

    return view


async def _read_body(request: web.Request) -> bytes:
    """Read the whole body.

    `request.read()` refuses more than the app's `client_max_size`, which is one megabyte unless somebody raised it;
    the memos of a long run are larger.
    """
    was_read = request.content.at_eof()  # by a middleware of the app, and aiohttp keeps it
    if was_read:
        return await request.read()
    chunks: list[bytes] = []
    size = 0
    while size <= BODY_LIMIT and (chunk := await request.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
