"""Serve functions from a Pyramid application.

Async functions run on one background event loop of the process. Pyramid's thread-local request is not visible
there; `self.raw_request` of a middleware is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyramid.config  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Pyramid has no types
import pyramid.request  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
import pyramid.response  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
import pyramid.security  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import Unpack

from stepserve.wsgi import read_body, request_from
from stepserve_core import Function, Inngest
from stepserve_core.handler import DEFAULT_PATH, Handler, MountOptions, ServeOptions, Stream, resolve_path

FRAMEWORK = "pyramid"


def serve(
    config: pyramid.config.Configurator,
    client: Inngest,
    functions: Sequence[Function[Any]],
    **options: Unpack[ServeOptions],
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    _add(config, resolve_path(options.get("serve_path")), handler, client)


def routes(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> Callable[[pyramid.config.Configurator], None]:
    """Return what Pyramid calls an `includeme`; it serves `functions` at `path`. See `Handler` for the options.

    `config.include(routes(client, functions), route_prefix="/internal")`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)

    def includeme(config: pyramid.config.Configurator) -> None:
        _add(config, path, handler, client)

    return includeme


def _add(config: pyramid.config.Configurator, path: str, handler: Handler, client: Inngest) -> None:
    name = f"stepserve_{client.app_id}"
    config.add_route(name, path)
    # Requests are signed: what the app demands of people by default does not apply to them.
    public = pyramid.security.NO_PERMISSION_REQUIRED
    config.add_view(_view(handler), route_name=name, permission=public, require_csrf=False)


def _view(handler: Handler) -> Callable[[pyramid.request.Request], pyramid.response.Response]:
    def view(request: pyramid.request.Request) -> pyramid.response.Response:
        if request.is_body_seekable:  # then somebody may have read it already
            request.body_file_raw.seek(0)
        request.body = read_body(request.environ)
        response = handler.stream(request_from(request.environ, request.body, request))
        headers = list(response.headers.items())
        if isinstance(response, Stream):
            return pyramid.response.Response(app_iter=response.chunks, status=response.status, headerlist=headers)
        headers.append(("content-length", str(len(response.body))))
        return pyramid.response.Response(app_iter=[response.body], status=response.status, headerlist=headers)

    return view
