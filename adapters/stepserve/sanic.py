"""Serve functions from a Sanic app.

Sanic answers 503 to a call that takes longer than RESPONSE_TIMEOUT, which is a minute; raise it for functions with
longer steps, or stream: the minute begins anew with every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import sanic
from typing_extensions import Unpack

from stepserve._route_name import route_name
from stepserve_core import Function, Inngest
from stepserve_core.handler import (
    DEFAULT_PATH,
    METHODS,
    AsyncStream,
    Handler,
    MountOptions,
    Request,
    ServeOptions,
    resolve_path,
)

FRAMEWORK = "sanic"

View = Callable[[sanic.Request], Coroutine[Any, Any, sanic.HTTPResponse | None]]


def serve(
    app: sanic.Sanic[Any, Any], client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    _add(app, resolve_path(options.get("serve_path")), handler, client)


def blueprint(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> sanic.Blueprint:
    """Return a blueprint that serves `functions` at `path`; see `Handler` for the options.

    `app.blueprint(blueprint(client, functions), url_prefix="/internal")`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = sanic.Blueprint(route_name(client))
    _add(made, path, handler, client)
    return made


def _add(target: sanic.Sanic[Any, Any] | sanic.Blueprint, path: str, handler: Handler, client: Inngest) -> None:
    target.add_route(_view(handler), path, methods=[*METHODS, "HEAD"], name=route_name(client), error_format="json")


def _view(handler: Handler) -> View:
    async def view(request: sanic.Request) -> sanic.HTTPResponse | None:
        answer = await handler.astream(_request_from(request))
        if not isinstance(answer, AsyncStream):
            return sanic.HTTPResponse(answer.body, answer.status, answer.headers)
        response: Any = await request.respond(status=answer.status, headers=answer.headers)
        async with aclosing(answer.chunks) as chunks:
            async for chunk in chunks:
                await response.send(chunk)
        await response.eof()
        return None

    return view


def _request_from(request: sanic.Request) -> Request:
    query = request.query_string
    return Request(request.method, lambda: request.url, request.headers, request.body, request, query_string=query)
