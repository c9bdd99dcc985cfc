"""Serve functions from a FastAPI app.

The route is a plain ASGI application: FastAPI's dependency injection stays out of its way, and it out of the
OpenAPI schema unless asked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio.from_thread
import fastapi
import fastapi.encoders
import fastapi.responses
from typing_extensions import Unpack

from stepserve.asgi import request_from
from stepserve.starlette import answer_of, exchange_of, read, route, route_name
from stepserve_core import Function, Inngest
from stepserve_core.endpoint import Endpoint, EndpointOptions, Plain
from stepserve_core.handler import (
    BODY_LIMIT,
    DEFAULT_PATH,
    METHODS,
    AsyncStream,
    Handler,
    MountOptions,
    ServeOptions,
    resolve_path,
)

FRAMEWORK = "fast_api"

View = TypeVar("View", bound=Callable[..., Any])


def serve(
    app: fastapi.FastAPI,
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    include_in_schema: bool = False,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    _add(app.router, resolve_path(options.get("serve_path")), handler, client, include_in_schema)


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Callable[[View], View]:
    """Make a path operation durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `@app.post("/checkout")` stands above `@endpoint(client)`. Parameters and models work as ever.
    """

    def decorate(view: View) -> View:
        made = Endpoint(client, view, **options)

        async def durable_async(*, stepserve_request: fastapi.Request, **given: Any) -> Any:
            body = await stepserve_request.body()
            exchange = exchange_of(stepserve_request, body, partial(view, **given), _read)
            return answer_of(exchange, await made.ahandle(exchange))

        def durable(*, stepserve_request: fastapi.Request, **given: Any) -> Any:
            body = anyio.from_thread.run(stepserve_request.body)  # FastAPI calls `def` in a thread of its pool
            exchange = exchange_of(stepserve_request, body, partial(view, **given), _read)
            return answer_of(exchange, made.handle(exchange))

        wrapped = functools.wraps(view)(durable_async if made.is_async else durable)
        wrapped.__signature__ = _signature(view)  # type: ignore[attr-defined]
        return cast("View", wrapped)

    return decorate


def _signature(view: Callable[..., Any]) -> inspect.Signature:
    """Return the parameters that FastAPI fills: those of the view, and the request instead of the steps."""
    signature = inspect.signature(view, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    kept = [one.replace(kind=kind) for one in signature.parameters.values() if one.name != "step"]
    request = inspect.Parameter("stepserve_request", kind, annotation=fastapi.Request)
    return signature.replace(parameters=[*kept, request])


def _read(returned: Any) -> Plain:
    """Read what a view returned; values are kept as FastAPI's encoder writes them."""
    if isinstance(returned, fastapi.Response):
        return read(returned)
    return read(fastapi.responses.JSONResponse(fastapi.encoders.jsonable_encoder(returned)))


def router(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    include_in_schema: bool = False,
    **options: Unpack[MountOptions],
) -> fastapi.APIRouter:
    """Return a router that serves `functions` at `path` below its prefix; see `Handler` for the options.

    `app.include_router(router(client, functions), prefix="/internal")`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = fastapi.APIRouter()
    _add(made, path, handler, client, include_in_schema)
    return made


def _add(target: fastapi.APIRouter, path: str, handler: Handler, client: Inngest, include_in_schema: bool) -> None:
    if not include_in_schema:
        target.routes.append(route(path, handler, client, raw_request=fastapi.Request))
        return
    name = route_name(client)

    async def stepserve(request: fastapi.Request) -> fastapi.Response:
        response = await handler.astream(request_from(request.scope, await _read_body(request), request))
        if isinstance(response, AsyncStream):
            return fastapi.responses.StreamingResponse(response.chunks, response.status, response.headers)
        return fastapi.Response(response.body, response.status, response.headers)

    for method in METHODS:  # a route each: in the schema, the id of an operation must be unique
        operation_id = f"{name}_{method.lower()}"
        target.add_api_route(path, stepserve, methods=[method], name=name, operation_id=operation_id)


async def _read_body(request: fastapi.Request) -> bytes:
    """Return the body, of one that is refused for its size the beginning."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            break
    return bytes(body)
