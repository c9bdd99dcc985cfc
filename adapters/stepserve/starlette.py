"""Serve functions from a Starlette app. `stepserve.fastapi` shares the route."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio.from_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from typing_extensions import Unpack

from stepserve.asgi import ASGIApp, Scope, request_from
from stepserve_core import Function, Inngest
from stepserve_core.endpoint import Endpoint, EndpointOptions, EndpointUnsupportedError, Exchange, Plain
from stepserve_core.handler import DEFAULT_PATH, METHODS, Handler, MountOptions, ServeOptions, resolve_path

FRAMEWORK = "starlette"

View = TypeVar("View", bound=Callable[..., Any])


def serve(app: Starlette, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.router.routes.append(route(resolve_path(options.get("serve_path")), handler, client))


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Callable[[View], View]:
    """Make an endpoint durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `Route("/checkout", endpoint(client)(checkout), methods=["POST"])`
    """

    def decorate(view: View) -> View:
        made = Endpoint(client, view, **options)
        if made.is_async:

            @functools.wraps(view)
            async def durable_async(request: Request) -> Any:
                exchange = exchange_of(request, await request.body(), partial(view, request), read)
                return answer_of(exchange, await made.ahandle(exchange))

            return cast("View", durable_async)

        @functools.wraps(view)
        def durable(request: Request) -> Any:
            body = anyio.from_thread.run(request.body)  # Starlette calls sync endpoints in a thread of its pool
            exchange = exchange_of(request, body, partial(view, request), read)
            return answer_of(exchange, made.handle(exchange))

        return cast("View", durable)

    return decorate


def exchange_of(request: Request, body: bytes, view: Callable[..., Any], reader: Callable[[Any], Plain]) -> Exchange:
    """Return a request to a durable view, for the core."""
    asked = request_from(request.scope, body, request)
    return Exchange(asked, lambda step: view(step=step), reader, _read_error)


def answer_of(exchange: Exchange, plain: Plain | None) -> Any:
    """Return what a durable view answers."""
    return exchange.returned if plain is None else Response(plain.body, plain.status, plain.headers)


def read(response: Any) -> Plain:
    """Read a response that is complete.

    Raises:
        EndpointUnsupportedError: it is a stream, or a file.
    """
    body = getattr(response, "body", None)
    if not isinstance(body, (bytes, memoryview)) or isinstance(response, (FileResponse, StreamingResponse)):
        raise EndpointUnsupportedError("a durable endpoint cannot answer with a stream or a file")
    return Plain(response.status_code, dict(response.headers), bytes(body))


def _read_error(error: Exception) -> Plain | None:
    if not isinstance(error, HTTPException):
        return None
    return Plain(error.status_code, dict(error.headers or {}), error.detail.encode())


def routes(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> list[Route]:
    """Return the routes that serve `functions` at `path` below their mount; see `Handler` for the options.

    `Starlette(routes=[Mount("/internal", routes=routes(client, functions))])`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    return [route(path, handler, client)]


def route(path: str, handler: Handler, client: Inngest, *, raw_request: Callable[[Scope], object] = Request) -> Route:
    """Return the route of one handler: a plain ASGI application, in no schema."""
    app = ASGIApp(handler, raw_request=raw_request)
    return Route(path, app, methods=METHODS, name=route_name(client), include_in_schema=False)


def route_name(client: Inngest) -> str:
    """Return the name by which URLs of the route can be made."""
    return f"stepserve_{client.app_id}"
