"""Serve functions from a Litestar app.

The route is a plain ASGI handler: layers of the app such as guards and middleware apply to it, dependency injection
and the OpenAPI schema do not. It is exempt from Litestar's CSRF protection: calls prove who they are by signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import litestar
from litestar.handlers import ASGIRouteHandler, asgi
from litestar.types import Receive, Scope, Send
from typing_extensions import Unpack

from stepserve.asgi import ASGIApp
from stepserve_core import Function, Inngest
from stepserve_core.handler import DEFAULT_PATH, Handler, MountOptions, ServeOptions, resolve_path

FRAMEWORK = "litestar"


def serve(
    app: litestar.Litestar, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.register(_route_handler(resolve_path(options.get("serve_path")), handler, client))


def route_handler(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> ASGIRouteHandler:
    """Return a route handler that serves `functions` at `path` below its router; see `Handler` for the options.

    `Router("/internal", route_handlers=[route_handler(client, functions)])`
    """
    return _route_handler(path, Handler(client, functions, framework=FRAMEWORK, **options), client)


def _route_handler(path: str, handler: Handler, client: Inngest) -> ASGIRouteHandler:
    app: Any = ASGIApp(handler, raw_request=_raw_request)  # Litestar has types of its own for what ASGI hands over

    @asgi(path, name=f"stepserve_{client.app_id}", opt={"exclude_from_csrf": True}, copy_scope=False)
    async def stepserve(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return stepserve


def _raw_request(scope: Any) -> litestar.Request[Any, Any, Any]:
    return litestar.Request(scope)
