"""Serve functions from a Tornado application.

Async functions run on the IOLoop, sync functions in threads beside it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import tornado.iostream
import tornado.routing
import tornado.web
from typing_extensions import Unpack

from stepserve_core import Function, Inngest
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
