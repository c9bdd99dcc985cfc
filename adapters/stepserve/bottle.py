"""Serve functions from a Bottle app.

Async functions run on one background event loop of the process. `bottle.request` belongs to a thread and is not
visible there; `self.raw_request` of a middleware is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import bottle  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Bottle has no types
from typing_extensions import Unpack

from stepserve.wsgi import read_body, request_from
from stepserve_core import Function, Inngest
from stepserve_core.handler import (
    BODY_LIMIT,
    DEFAULT_PATH,
    METHODS,
    Handler,
    MountOptions,
    ServeOptions,
    Stream,
    resolve_path,
)

FRAMEWORK = "bottle"


def serve(
    app: bottle.Bottle, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    _add(app, resolve_path(options.get("serve_path")), handler, client)


def application(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> bottle.Bottle:
    """Return an app that serves `functions` at `path`, to be mounted or merged; see `Handler` for the options.

    `app.mount("/internal/", application(client, functions))`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = bottle.Bottle()
    _add(made, path, handler, client)
    return made


def _add(app: Any, path: str, handler: Handler, client: Inngest) -> None:
    app.route(path, METHODS, _view(handler), name=f"stepserve_{client.app_id}")


def _view(handler: Handler) -> Callable[[], bottle.HTTPResponse]:
    respond: Any = bottle.HTTPResponse
    current: Any = bottle.request

    def view() -> bottle.HTTPResponse:
        body = _read_body(current)
        # `bottle.request` stands for the request of this thread only; middleware may keep the object.
        raw = current.copy()
        raw.environ["wsgi.input"] = io.BytesIO(body)
        # Bottle decodes the path in place; WSGI has latin-1 text of the bytes that came.
        environ = {**raw.environ, "PATH_INFO": raw.environ["PATH_INFO"].encode().decode("latin-1")}
        response = handler.stream(request_from(environ, body, raw))
        content = response.chunks if isinstance(response, Stream) else response.body
        return respond(content, response.status, response.headers)

    return view


def _read_body(request: Any) -> bytes:
    environ = request.environ
    was_read = "bottle.request.body" in environ  # by a hook of the app
    if not was_read and (environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated")):
        return read_body(environ)
    body: bytes = request.body.read(BODY_LIMIT + 1)  # which also takes chunked bodies apart, where the server does not
    return body
