"""Serve functions from a FastAPI app.

The route is a plain ASGI application: FastAPI's dependency injection stays out of its way, and it out of the
OpenAPI schema unless asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastapi
import fastapi.responses
from typing_extensions import Unpack

from stepserve._fastapi_endpoint import endpoint
from stepserve.asgi import request_from
from stepserve.starlette import route, route_name
from stepserve_core import Function, Inngest
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

__all__ = ["FRAMEWORK", "endpoint", "router", "serve"]

FRAMEWORK = "fast_api"


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
