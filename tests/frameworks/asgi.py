"""The ASGI application without a framework, on uvicorn and on hypercorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import stepserve.asgi
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from tests.frameworks import servers
from tests.frameworks.harness import Harness


class ASGIOnUvicorn(Harness):
    """The bare application on uvicorn."""

    FRAMEWORK = "asgi"
    CALLS_FROM_LOOP = True
    STREAMS = True

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return the application, which serves all paths."""
        app = stepserve.asgi.serve(client, functions, **options)
        return app if before_request is None else BeforeRequest(app, before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)


class ASGIOnHypercorn(ASGIOnUvicorn):
    """The bare application on hypercorn."""

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with hypercorn."""
        return servers.hypercorn(app)


class BeforeRequest:
    """ASGI middleware that calls a function before each request."""

    def __init__(self, app: Callable[..., Any], before_request: Callable[[], None]) -> None:
        self._app = app
        self._before_request = before_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            self._before_request()
        await self._app(scope, receive, send)
