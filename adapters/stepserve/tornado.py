"""Serve functions from a Tornado application.

Async functions run on the IOLoop, sync functions in threads beside it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import re
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar, cast

import tornado.iostream
import tornado.routing
import tornado.web
from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.endpoint import (
    Answered,
    Durable,
    Endpoint,
    EndpointOptions,
    EventStream,
    Exchange,
    Given,
    Plain,
    fold_headers,
)
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

Returned = TypeVar("Returned")


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


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Durable:
    """Make an `async def` method of a request handler durable: it gets its steps as the argument `step`.

    What it writes is the answer. XSRF cookies must not be checked: the server, which makes the request again, has none.
    For the options see `Endpoint`.

    Raises:
        ConfigurationError: the method is not `async def`; it would block the IOLoop.
    """

    def decorate(method: Callable[..., Returned]) -> Callable[..., Returned]:
        made = Endpoint(client, method, **options)
        if not made.is_async:
            raise ConfigurationError(f"{made.name}: durable methods of Tornado's handlers are async def")

        @functools.wraps(method)
        async def durable(self: tornado.web.RequestHandler, *args: Any, **kwargs: Any) -> None:
            incoming = self.request
            asked = Request(incoming.method or "", incoming.full_url(), incoming.headers, incoming.body, incoming)
            # What would end the answer, or send a part of it, waits until the end of the run is saved.
            vars(self).update(finish=functools.partial(_write_last, self), flush=_flush_nothing)
            given: Given = None
            try:
                given = await made.ahandle(
                    Exchange(
                        asked,
                        lambda step: method(self, *args, step=step, **kwargs),
                        lambda _: _written(self),
                        functools.partial(_read_error, self),
                    )
                )
            finally:
                if not isinstance(given, EventStream):  # else the method has only begun
                    del self.finish, self.flush
            if isinstance(given, EventStream):
                await _send_beside(self, given)
            elif given is not None:
                self.clear()
                self.set_status(given.status)
                for name, value in given.headers.items():
                    self.set_header(name, value)
                if given.body:
                    self.write(given.body)

        return cast("Callable[..., Returned]", durable)

    return decorate


async def _send_beside(handler: tornado.web.RequestHandler, stream: EventStream) -> None:
    """Send a stream by a copy of the handler: what the method writes is the answer that the stream ends with.

    Headers that every answer has, such as those for other origins, are those of the stream too.
    """
    sender = copy.copy(handler)
    del sender.finish, sender.flush
    sender._headers, sender._write_buffer = handler._headers.copy(), []
    for name, value in stream.headers.items():
        sender.set_header(name, value)
    await _send_chunks(sender, stream.achunks())
    sender.finish()


async def _send_chunks(handler: tornado.web.RequestHandler, chunks: AsyncGenerator[bytes, None]) -> None:
    async with contextlib.aclosing(chunks):
        # Who went away is not waited for; leaving the block ends what sends.
        with contextlib.suppress(tornado.iostream.StreamClosedError):
            async for chunk in chunks:
                handler.write(chunk)
                await handler.flush()


def _write_last(handler: tornado.web.RequestHandler, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
    if chunk is not None:
        handler.write(chunk)
    return _flush_nothing()


def _flush_nothing(include_footers: bool = False) -> Future[None]:
    del include_footers
    done: Future[None] = Future()
    done.set_result(None)
    return done


def _written(handler: tornado.web.RequestHandler) -> Answered:
    status = handler.get_status()
    # As Tornado does when it sends the answer: none of these has a body that could have a type.
    left_out = ("Date", "Content-Type") if status in (204, 304) else ("Date",)
    headers = [(name, value) for name, value in handler._headers.get_all() if name not in left_out]
    new = getattr(handler, "_new_cookie", {})  # which a handler has only after it has set one
    headers += [("Set-Cookie", cookie.OutputString(None)) for cookie in new.values()]
    body = b"".join(handler._write_buffer)
    return Answered(Plain(status, fold_headers(headers), body), None)


def _read_error(handler: tornado.web.RequestHandler, error: Exception) -> Plain | None:
    if isinstance(error, tornado.web.HTTPError):
        handler.send_error(error.status_code, exc_info=(type(error), error, error.__traceback__))
    elif not isinstance(error, tornado.web.Finish):
        return None
    return _written(handler).plain


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
        await _send_chunks(self, response.chunks)

    get = head = post = put = delete = patch = options = trace = respond
