"""The WSGI application without a framework, on waitress and on gunicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import stepserve.wsgi
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import Harness
from stepserve.wsgi import StartResponse
from tests.frameworks import servers


class WSGIOnWaitress(Harness):
    """The bare application on waitress."""

    FRAMEWORK = "wsgi"
    CALLS_FROM_LOOP = False
    STREAMS = True
    HEADER_SEPARATOR = ", "
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})

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

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return the application as a router would call it."""
        whole = self.build(client, functions, None)

        def mounted(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ["PATH_INFO"].removeprefix(prefix)
            answer: Iterable[bytes] = whole({**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}, start_response)
            return answer

        return {"SCRIPT_NAME": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with the settings of waitress for this."""
        headers = {"x-forwarded-proto", "x-forwarded-host"}
        return servers.waitress(app, trusted_proxy="127.0.0.1", trusted_proxy_headers=headers)


class WSGIOnGunicorn(WSGIOnWaitress):
    """The bare application on a threaded worker of gunicorn."""

    HEADER_SEPARATOR = ","
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by gunicorn's --forwarded-allow-ips

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with gunicorn."""
        return servers.gunicorn(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)


class BeforeRequest:
    """WSGI middleware that calls a function before each request."""

    def __init__(self, app: Callable[..., Iterable[bytes]], before_request: Callable[[], None]) -> None:
        self._app = app
        self._before_request = before_request

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self._before_request()
        return self._app(environ, start_response)
