"""Tornado on its own server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import tornado.httpserver
import tornado.httputil
import tornado.netutil
import tornado.web

import stepserve.tornado
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers


class Tornado(Harness):
    """Tornado on its own server."""

    FRAMEWORK = "tornado"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_IF_TRUSTED = frozenset({"proto"})
    HEADER_SEPARATOR = ","

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> tornado.web.Application:
        """Return an app with the functions at the usual path."""
        app = tornado.web.Application() if before_request is None else _Application(before_request)
        stepserve.tornado.serve(app, client, functions, **options)
        return app

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return an app with rules; Tornado knows no other prefixes."""
        made: list[Any] = stepserve.tornado.rules(client, functions, path=f"{prefix}/api/inngest")
        return {"rules": tornado.web.Application(made)}

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Tornado."""
        return serve(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with `xheaders`."""
        return serve(app, xheaders=True)


class _Application(tornado.web.Application):
    """Calls a function before each request."""

    def __init__(self, before_request: Callable[[], None]) -> None:
        super().__init__()
        self._before_request = before_request

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        """Call the function, then find who serves the request."""
        self._before_request()
        return super().find_handler(request, **kwargs)


@contextlib.contextmanager
def serve(app: tornado.web.Application, **options: Any) -> Generator[int, None, None]:
    """Serve with Tornado, on a loop of its own."""
    listeners = tornado.netutil.bind_sockets(0, "127.0.0.1")

    async def run(stopping: asyncio.Event) -> None:
        server = tornado.httpserver.HTTPServer(app, **options)
        server.add_sockets(listeners)
        await stopping.wait()
        server.stop()
        await server.close_all_connections()

    with servers.asyncio_thread(run):
        yield listeners[0].getsockname()[1]
