"""Serve functions from a Flask app.

`flask[async]` is not needed: async functions run on one background event loop of the process.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import flask
from typing_extensions import Unpack
from werkzeug.exceptions import HTTPException

from stepserve._route_name import route_name
from stepserve.wsgi import read_body, request_from
from stepserve_core import Function, Inngest
from stepserve_core.endpoint import (
    Answered,
    Durable,
    Endpoint,
    EndpointOptions,
    EventStream,
    Exchange,
    Plain,
    collect,
    fold_headers,
)
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

Returned = TypeVar("Returned")


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


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Durable:
    """Make a view durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `@app.post("/checkout")` stands above `@endpoint(client)`.
    """

    def decorate(view: Callable[..., Returned]) -> Callable[..., Returned]:
        made = Endpoint(client, view, **options)

        @functools.wraps(view)
        def durable(*args: Any, **kwargs: Any) -> Any:
            request = flask.request
            asked = Request(request.method, request.url, request.headers, request.get_data(), request)
            exchange = Exchange(asked, lambda step: view(*args, step=step, **kwargs), _read, _read_error)
            given = made.handle(exchange)
            if isinstance(given, EventStream):
                # The route uses the request for as long as the answer grows.
                return flask.Response(flask.stream_with_context(given.chunks()), headers=given.headers)
            return exchange.returned if given is None else flask.Response(given.body, given.status, given.headers)

        return cast("Callable[..., Returned]", durable)

    return decorate


def _read(returned: Any) -> Answered:
    response = flask.make_response(returned)
    if response.is_streamed or response.direct_passthrough:
        response.direct_passthrough = False
        with contextlib.ExitStack() as stack:
            close = getattr(response.response, "close", None)
            if close is not None:  # of a file, or a generator
                stack.callback(close)
            response.set_data(collect(response.iter_encoded()))
    return Answered(Plain(response.status_code, fold_headers(response.headers), response.get_data()), response)


def _read_error(error: Exception) -> Plain | None:
    """Read errors that Flask answers, or that the app has a handler for; one for every `Exception` does not count."""
    handlers = flask.current_app.error_handler_spec
    kinds = type(error).__mro__[: type(error).__mro__.index(Exception)]
    blueprints = (*flask.request.blueprints, None)
    if isinstance(error, HTTPException) or any(kind in handlers[name][None] for name in blueprints for kind in kinds):
        return _read(flask.current_app.handle_user_exception(error)).plain
    return None


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
