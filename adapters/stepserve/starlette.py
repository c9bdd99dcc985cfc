"""Serve functions from a Starlette app. `stepserve.fastapi` shares the route."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import anyio.from_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from typing_extensions import Unpack

from stepserve.asgi import ASGIApp, Scope, request_from
from stepserve_core import Function, Inngest
from stepserve_core.endpoint import (
    Answered,
    Durable,
    Endpoint,
    EndpointOptions,
    EndpointUnsupportedError,
    EventStream,
    Exchange,
    Given,
    Plain,
    Work,
    acollect,
    check_size,
    fold_headers,
    is_async,
    on_this_loop,
    run_sync,
)
from stepserve_core.handler import DEFAULT_PATH, METHODS, Handler, MountOptions, ServeOptions, resolve_path

FRAMEWORK = "starlette"

Returned = TypeVar("Returned")


def serve(app: Starlette, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.router.routes.append(route(resolve_path(options.get("serve_path")), handler, client))


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Durable:
    """Make an endpoint durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `Route("/checkout", endpoint(client)(checkout), methods=["POST"])`
    """

    def decorate(view: Callable[..., Returned]) -> Callable[..., Returned]:
        return cast("Callable[..., Returned]", durable(Endpoint(client, view, **options), view))

    return decorate


def durable(made: Endpoint, view: Callable[..., Any]) -> Callable[[Request], Any]:
    """Return the durable form of an endpoint of Starlette's own kind."""
    if made.is_async:

        @functools.wraps(view)
        async def run_async(request: Request) -> Any:
            exchange = exchange_of(request, await request.body(), partial(view, request), read)
            return answer_of(exchange, await made.ahandle(exchange))

        return run_async

    @functools.wraps(view)
    def run(request: Request) -> Any:
        body = anyio.from_thread.run(request.body)  # Starlette calls sync endpoints in a thread of its pool
        exchange = exchange_of(request, body, partial(view, request), read, from_thread=True)
        return answer_of(exchange, made.handle(exchange))

    return run


Read = Callable[[Any], Coroutine[Any, Any, Answered]]


def exchange_of(
    request: Request, body: bytes, view: Callable[..., Any], reader: Read, *, from_thread: bool = False
) -> Exchange:
    """Return a request to a durable view, for the core; `from_thread` if the view runs in a thread of the pool."""
    asked = request_from(request.scope, body, request)
    exchange = Exchange(asked, lambda step: view(step=step), reader, partial(_read_error, request))
    if from_thread:
        exchange.read = lambda returned: anyio.from_thread.run(reader, returned)
        exchange.read_error = lambda error: anyio.from_thread.run(_read_error, request, error)
        exchange.begin = _begin_in_pool
    return exchange


def _begin_in_pool(work: Work) -> None:
    """Let a sync view run in another thread of Starlette's pool than the one that it is called in."""

    async def run_work() -> None:
        await run_in_threadpool(lambda: run_sync(work()))

    anyio.from_thread.run_sync(on_this_loop, run_work)


def answer_of(exchange: Exchange, given: Given) -> Any:
    """Return what a durable view answers."""
    if isinstance(given, EventStream):
        return StreamingResponse(given.achunks(), headers=given.headers)
    return exchange.returned if given is None else Response(given.body, given.status, given.headers)


async def read(response: Any) -> Answered:
    """Read a response; a stream, to its end.

    Raises:
        EndpointUnsupportedError: it is none, or too large.
    """
    if isinstance(response, FileResponse):
        stat = await anyio.Path(response.path).stat()
        check_size(stat.st_size)
        response.set_stat_headers(stat)
        body = await anyio.Path(response.path).read_bytes()
        return Answered(Plain(response.status_code, fold_headers(response.headers.items()), body), response)
    if isinstance(response, StreamingResponse):
        response = await _buffered(response)
    if not isinstance(response, Response) or not hasattr(response, "body"):
        raise EndpointUnsupportedError("a durable endpoint answers with a response that has a body, or streams one")
    return Answered(Plain(response.status_code, fold_headers(response.headers.items()), bytes(response.body)), response)


async def _buffered(response: StreamingResponse) -> Response:
    chunks = (
        one.encode(response.charset) if isinstance(one, str) else bytes(one) async for one in response.body_iterator
    )
    made = Response(await acollect(chunks), response.status_code, background=response.background)
    length = str(len(made.body)).encode()
    made.raw_headers = [*response.raw_headers, (b"content-length", length)]
    return made


async def _read_error(request: Request, error: Exception) -> Plain | None:
    """Read errors that Starlette answers, or that the app has a handler for; one for every `Exception` does not count.

    As Starlette does, a handler of a status goes before one of a class.
    """
    handlers = request.app.exception_handlers
    kinds = type(error).__mro__[: type(error).__mro__.index(Exception)]
    found = [handlers[kind] for kind in kinds if kind in handlers]
    if isinstance(error, HTTPException):
        found = [handlers[code] for code in [error.status_code] if code in handlers] + [*found, _answer_http_error]
    if not found:
        return None
    handler: Callable[..., Any] = found[0]
    response = await handler(request, error) if is_async(handler) else await run_in_threadpool(handler, request, error)
    return (await read(response)).plain


def _answer_http_error(request: Request, error: HTTPException) -> Response:
    del request
    headers = dict(error.headers or {})
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=headers)
    return PlainTextResponse(error.detail, error.status_code, headers)


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
