"""Falcon: WSGI on gunicorn and waitress, ASGI on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import falcon
import falcon.asgi

import stepserve.falcon
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from stepserve.wsgi import StartResponse
from tests.frameworks import servers


class FalconOnGunicorn(Harness):
    """Falcon's WSGI app on a threaded worker of gunicorn."""

    FRAMEWORK = "falcon"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ","
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by gunicorn's --forwarded-allow-ips
    ANSWERS_OPTIONS = True
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""

        class BeforeRequest:
            def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
                if before_request is not None:
                    before_request()

        app = falcon.App(middleware=[BeforeRequest()])
        stepserve.falcon.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with gunicorn."""
        return servers.gunicorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a resource below the prefix, and a whole app."""
        routed: Any = falcon.App()
        routed.add_route(prefix + "/api/inngest", stepserve.falcon.resource(client, functions))
        whole = self.build(client, functions, None)

        def mounted(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path = environ["PATH_INFO"].removeprefix(prefix)
            answer: Iterable[bytes] = whole({**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path}, start_response)
            return answer

        return {"resource": routed, "SCRIPT_NAME": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)


class FalconOnWaitress(FalconOnGunicorn):
    """Falcon's WSGI app on waitress."""

    HEADER_SEPARATOR = ", "
    FORWARDED_BY_DEFAULT = frozenset()
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with waitress."""
        return servers.waitress(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with the settings of waitress for this."""
        headers = {"x-forwarded-proto", "x-forwarded-host"}
        return servers.waitress(app, trusted_proxy="127.0.0.1", trusted_proxy_headers=headers)


class FalconOnUvicorn(Harness):
    """Falcon's ASGI app on uvicorn."""

    FRAMEWORK = "falcon"
    CALLS_FROM_LOOP = True
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips
    ANSWERS_OPTIONS = True
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""

        class BeforeRequest:
            async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
                if before_request is not None:
                    before_request()

        app = falcon.asgi.App(middleware=[BeforeRequest()])
        stepserve.falcon.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a resource below the prefix."""
        routed: Any = falcon.asgi.App()
        routed.add_route(prefix + "/api/inngest", stepserve.falcon.async_resource(client, functions))
        return {"resource": routed}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)
