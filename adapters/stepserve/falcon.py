"""Serve functions from a Falcon app, WSGI or ASGI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import falcon
import falcon.asgi
from typing_extensions import Unpack

from stepserve import asgi, wsgi
from stepserve_core import Function, Inngest
from stepserve_core.handler import AsyncStream, Handler, MountOptions, Response, ServeOptions, Stream, resolve_path

FRAMEWORK = "falcon"


def serve(
    app: falcon.App[Any, Any] | falcon.asgi.App[Any, Any],
    client: Inngest,
    functions: Sequence[Function[Any]],
    **options: Unpack[ServeOptions],
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = AsyncResource(handler) if isinstance(app, falcon.asgi.App) else Resource(handler)
    app.add_route(resolve_path(options.get("serve_path")), made)


def resource(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[MountOptions]) -> Resource:
    """Return a resource for a WSGI app that serves `functions`; see `Handler` for the options.

    `app.add_route("/internal/inngest", resource(client, functions))`
    """
    return Resource(Handler(client, functions, framework=FRAMEWORK, **options))


def async_resource(
    client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[MountOptions]
) -> AsyncResource:
    """Return a resource for an ASGI app that serves `functions`; see `Handler` for the options."""
    return AsyncResource(Handler(client, functions, framework=FRAMEWORK, **options))


class Resource:
    """A resource of a WSGI app."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Serve one request."""
        answer = self._handler.stream(wsgi.request_from(req.env, wsgi.read_body(req.env), req))
        _begin(resp, answer)
        if isinstance(answer, Stream):
            resp.stream = answer.chunks
        else:
            resp.data = answer.body

    on_get = on_head = on_put = on_post


class AsyncResource:
    """A resource of an ASGI app."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Serve one request."""
        answer = await self._handler.astream(asgi.request_from(req.scope, await req.stream.read(), req))
        _begin(resp, answer)
        if isinstance(answer, AsyncStream):
            resp.stream = _Chunks(answer.chunks)
        else:
            resp.data = answer.body

    on_get = on_head = on_put = on_post


class _Chunks:
    """The chunks of a stream, with the `close` that Falcon calls when the client has gone away."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self.close = chunks.aclose

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._chunks.__anext__()


def _begin(resp: falcon.Response, answer: Response | Stream | AsyncStream) -> None:
    resp.status = answer.status
    resp.set_headers(answer.headers)
