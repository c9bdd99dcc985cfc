"""aiohttp on its own server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from aiohttp import web

import stepserve.aiohttp
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers


class Aiohttp(Harness):
    """aiohttp on its own server."""

    FRAMEWORK = "aiohttp"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    DECODES_GZIP = True
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> web.Application:
        """Return an app with the functions at the usual path."""
        app = web.Application()
        if before_request is not None:
            app.middlewares.append(_middleware(before_request))
        stepserve.aiohttp.serve(app, client, functions, **options)
        return app

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return apps with a subapp, and with routes."""
        below, outer, routed = web.Application(), web.Application(), web.Application()
        stepserve.aiohttp.serve(below, client, functions)
        outer.add_subapp(prefix, below)
        routed.add_routes(stepserve.aiohttp.routes(client, functions, path=f"{prefix}/api/inngest"))
        return {"add_subapp": outer, "routes": routed}

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with aiohttp."""
        return serve(app)


def _middleware(before_request: Callable[[], None]) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        before_request()
        response: web.StreamResponse = await handler(request)
        return response

    return middleware


@contextlib.contextmanager
def serve(app: web.Application) -> Generator[int, None, None]:
    """Serve with aiohttp, on a loop of its own."""

    async def run(stopping: asyncio.Event) -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await stopping.wait()
        await runner.cleanup()

    # Connections wait in the backlog until the app has started.
    with socket.create_server(("127.0.0.1", 0)) as listener, servers.asyncio_thread(run):
        yield listener.getsockname()[1]
