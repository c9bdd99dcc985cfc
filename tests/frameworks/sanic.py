"""Sanic on its own server."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP

import stepserve.sanic
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers

# Sanic rewrites its own code when an app starts; in this mode it keeps the original, so that several apps can start.
sanic.Sanic.test_mode = True

_numbers = itertools.count()


def new_app() -> Any:
    """Return an app of its own name."""
    return sanic.Sanic(f"contract-{next(_numbers)}", configure_logging=False)  # a name can be used once


class SanicOnItself(Harness):
    """Sanic on its own server."""

    FRAMEWORK = "sanic"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""
        app: Any = new_app()
        if before_request is not None:

            async def call(request: sanic.Request) -> None:
                before_request()

            app.register_middleware(call)
        stepserve.sanic.serve(app, client, functions, **options)
        return app

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a blueprint below the prefix."""
        app: Any = new_app()
        app.blueprint(stepserve.sanic.blueprint(client, functions), url_prefix=prefix)
        return {"blueprint": app}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Sanic's setting for one proxy."""
        app.config.PROXIES_COUNT = 1
        return self.serve(app)

    @contextmanager
    def serve(self, app: Any) -> Generator[int, None, None]:
        """Serve with Sanic's server."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            async def run(stopping: asyncio.Event) -> None:
                # As app.run() notes it; otherwise Sanic takes HTTP/3 for possible, and says so with every answer.
                app.state.server_info.append(ApplicationServerInfo({"version": HTTP.VERSION_1}))
                server = await app.create_server(sock=listener, access_log=False)
                await server.startup()
                await server.before_start()
                await server.start_serving()
                await server.after_start()
                await stopping.wait()
                await server.before_stop()
                server.close()
                await server.wait_closed()
                await server.after_stop()

            with servers.asyncio_thread(run):
                yield listener.getsockname()[1]
