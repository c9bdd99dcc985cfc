"""Serve functions from a Starlette app. `stepserve.fastapi` shares the route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from typing_extensions import Unpack

from stepserve.asgi import ASGIApp, Scope
from stepserve_core import Function, Inngest
from stepserve_core.handler import DEFAULT_PATH, METHODS, Handler, MountOptions, ServeOptions, resolve_path

FRAMEWORK = "starlette"


def serve(app: Starlette, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.router.routes.append(route(resolve_path(options.get("serve_path")), handler, client))


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
