"""The WSGI application without a framework, on waitress and on gunicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import stepserve.wsgi
from stepserve import Function, Inngest
from stepserve.wsgi import StartResponse
from tests.frameworks import servers
from tests.frameworks.harness import Harness


class WSGIOnWaitress(Harness):
    """The bare application on waitress."""

    FRAMEWORK = "wsgi"
    CALLS_FROM_LOOP = False
    STREAMS = True
    HEADER_SEPARATOR = ", "

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return the application, which serves all paths."""
        app = stepserve.wsgi.serve(client, functions, **options)
        return app if before_request is None else BeforeRequest(app, before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with waitress."""
        return servers.waitress(app)


class WSGIOnGunicorn(WSGIOnWaitress):
    """The bare application on a threaded worker of gunicorn."""

    HEADER_SEPARATOR = ","

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with gunicorn."""
        return servers.gunicorn(app)


class BeforeRequest:
    """WSGI middleware that calls a function before each request."""

    def __init__(self, app: Callable[..., Iterable[bytes]], before_request: Callable[[], None]) -> None:
        self._app = app
        self._before_request = before_request

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self._before_request()
        return self._app(environ, start_response)
