"""Serve functions from a Tornado application.

Async functions run on the IOLoop, sync functions in threads beside it.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import tornado.iostream
import tornado.routing
import tornado.web
from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.endpoint import Endpoint, EndpointOptions, EndpointUnsupportedError, Exchange, Plain
from stepserve_core.errors import ConfigurationError
from stepserve_core.handler import (
    BODY_LIMIT,
    DEFAULT_PATH,
    AsyncStream,
    Handler,
    MountOptions,
    Request,
    ServeOptions,
    resolve_path,
)

FRAMEWORK = "tornado"

Method = TypeVar("Method", bound=Callable[..., Any])


def serve(
    app: tornado.web.Application,
    client: Inngest,
    functions: Sequence[Function[Any]],
    **options: Unpack[ServeOptions],
) -> None:
    """Serve `functions` on all hosts at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    app.add_handlers(".*", [_rule(resolve_path(options.get("serve_path")), handler, client)])


def rules(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> list[tornado.routing.URLSpec]:
    """Return the rules that serve `functions` at `path`; see `Handler` for the options.

    `tornado.web.Application([*rules(client, functions), (r"/", Index)])`
    """
    return [_rule(path, Handler(client, functions, framework=FRAMEWORK, **options), client)]


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Callable[[Method], Method]:
    """Make an `async def` method of a request handler durable: it gets its steps as the argument `step`.

    What it writes is the answer. XSRF cookies must not be checked: the server, which makes the request again, has none.
    For the options see `Endpoint`.

    Raises:
        ConfigurationError: the method is not `async def`; it would block the IOLoop.
    """

    def decorate(method: Method) -> Method:
        made = Endpoint(client, method, **options)
        if not made.is_async:
            raise ConfigurationError(f"{made.name}: durable methods of Tornado's handlers are async def")

        @functools.wraps(method)
        async def durable(self: tornado.web.RequestHandler, *args: Any, **kwargs: Any) -> None:
            incoming = self.request
            asked = Request(incoming.method or "", incoming.full_url(), incoming.headers, incoming.body, incoming)
            exchange = Exchange(
                asked,
                lambda step: method(self, *args, step=step, **kwargs),
                lambda _: _written(self),
                _read_error,
            )
            plain = await made.ahandle(exchange)
            if plain is not None:
                self.clear()
                self.set_status(plain.status)
                for name, value in plain.headers.items():
                    self.set_header(name, value)
                if plain.body:
                    self.write(plain.body)

        return cast("Method", durable)

    return decorate


def _written(handler: tornado.web.RequestHandler) -> Plain:
    if handler._headers_written or handler._finished:
        raise EndpointUnsupportedError("a durable endpoint must not flush or finish its answer itself")
    headers = {name: value for name, value in handler._headers.get_all() if name != "Date"}
    return Plain(handler.get_status(), headers, b"".join(handler._write_buffer))


def _read_error(error: Exception) -> Plain | None:
    if not isinstance(error, tornado.web.HTTPError):
        return None
    return Plain(error.status_code, {}, (error.reason or "").encode())


def _rule(path: str, handler: Handler, client: Inngest) -> tornado.routing.URLSpec:
    name = f"stepserve_{client.app_id}"
    return tornado.routing.URLSpec(re.escape(path), ServeHandler, {"handler": handler}, name)


@tornado.web.stream_request_body  # else Tornado tries to parse forms, and refuses what is none
class ServeHandler(tornado.web.RequestHandler):
    """Serves one handler of the core, whatever the method: it knows what to answer to odd ones."""

    SUPPORTED_METHODS = (*tornado.web.RequestHandler.SUPPORTED_METHODS, "TRACE")

    def initialize(self, handler: Handler) -> None:
        """Keep the handler; called by Tornado for each request."""
        self._handler = handler
        self._chunks: list[bytes] = []
        self._size = 0

    def check_xsrf_cookie(self) -> None:
        """Do nothing: requests are signed, and carry no cookies."""

    def compute_etag(self) -> None:
        """Return None: nothing that is served here can be cached."""

    def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body; of one that is refused for its size, no more than that takes."""
        if self._size <= BODY_LIMIT:
            self._chunks.append(chunk)
            self._size += len(chunk)

    async def respond(self) -> None:
        """Serve the request."""
        incoming = self.request
        incoming.body = b"".join(self._chunks)
        request = Request(incoming.method or "", incoming.full_url(), incoming.headers, incoming.body, incoming)
        response = await self._handler.astream(request)
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        if not isinstance(response, AsyncStream):
            self.write(response.body)
            return
        async with contextlib.aclosing(response.chunks) as chunks:
            # Who went away is not waited for; leaving the block ends the work.
            with contextlib.suppress(tornado.iostream.StreamClosedError):
                async for chunk in chunks:
                    self.write(chunk)
                    await self.flush()

    get = head = post = put = delete = patch = options = trace = respond
