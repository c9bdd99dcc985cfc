"""FastAPI on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import fastapi

import stepserve.fastapi
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from tests.frameworks import servers
from tests.frameworks.harness import Harness


class FastAPIOnUvicorn(Harness):
    """FastAPI on uvicorn."""

    FRAMEWORK = "fast_api"
    CALLS_FROM_LOOP = True

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> fastapi.FastAPI:
        """Return an app with the functions at the usual path."""
        app = fastapi.FastAPI()
        if before_request is not None:
            app.add_middleware(BeforeRequest, before_request=before_request)
        stepserve.fastapi.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)


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
