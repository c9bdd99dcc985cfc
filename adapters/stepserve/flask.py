"""Serve functions from a Flask app.

`flask[async]` is not needed: async functions run on one background event loop of the process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import flask
from typing_extensions import Unpack
from werkzeug.exceptions import HTTPException

from stepserve._route_name import route_name
from stepserve.wsgi import read_body, request_from
from stepserve_core import Function, Inngest
from stepserve_core.endpoint import Endpoint, EndpointOptions, EndpointUnsupportedError, Exchange, Plain
from stepserve_core.handler import (
    DEFAULT_PATH,
    METHODS,
    Handler,
    MountOptions,
    Request,
    ServeOptions,
    Stream,
    resolve_path,
)

FRAMEWORK = "flask"

View = TypeVar("View", bound=Callable[..., Any])


def serve(
    app: flask.Flask, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.add_url_rule(resolve_path(options.get("serve_path")), route_name(client), _view(handler), methods=METHODS)


def blueprint(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> flask.Blueprint:
    """Return a blueprint that serves `functions` at `path` below its prefix; see `Handler` for the options.

    `app.register_blueprint(blueprint(client, functions), url_prefix="/internal")`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = flask.Blueprint(route_name(client), __name__)
    made.add_url_rule(path, "serve", _view(handler), methods=METHODS)
    return made


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Callable[[View], View]:
    """Make a view durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `@app.post("/checkout")` stands above `@endpoint(client)`.
    """

    def decorate(view: View) -> View:
        made = Endpoint(client, view, **options)

        @functools.wraps(view)
        def durable(*args: Any, **kwargs: Any) -> Any:
            request = flask.request
            asked = Request(request.method, request.url, request.headers, request.get_data(), request)
            exchange = Exchange(asked, lambda step: view(*args, step=step, **kwargs), _read, _read_error)
            plain = made.handle(exchange)
            return exchange.returned if plain is None else flask.Response(plain.body, plain.status, plain.headers)

        return cast("View", durable)

    return decorate


def _read(returned: Any) -> Plain:
    response = flask.make_response(returned)
    if response.is_streamed:
        raise EndpointUnsupportedError("a durable endpoint cannot answer with a stream")
    return Plain(response.status_code, dict(response.headers), response.get_data())


def _read_error(error: Exception) -> Plain | None:
    if not isinstance(error, HTTPException):
        return None
    return _read(error.get_response())


def _view(handler: Handler) -> Callable[[], flask.Response]:
    def view() -> flask.Response:
        request = flask.request
        # The proxy stands for the request of this thread only; middleware may keep the object.
        raw = request._get_current_object()  # type: ignore[attr-defined]
        response = handler.stream(request_from(request.environ, _read_body(request), raw))
        body = response.chunks if isinstance(response, Stream) else response.body
        return flask.Response(body, response.status, response.headers)

    return view


def _read_body(request: flask.Request) -> bytes:
    length, limit = request.content_length, request.max_content_length
    was_read = "stream" in vars(request)  # by a hook of the app; what it read is kept there, and gone from the server
    if was_read or length is None or (limit is not None and length > limit):
        return request.get_data(cache=False)  # which reads chunked bodies, and answers 413 to those that are too large
    # Straight from the server: Werkzeug's stream takes megabytes apart into many small reads.
    return read_body(request.environ)
