"""Starlette on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

import stepserve.starlette
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers
from tests.frameworks.asgi import BeforeRequest


class StarletteOnUvicorn(Harness):
    """Starlette on uvicorn."""

    FRAMEWORK = "starlette"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips
    STREAMS = True
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Starlette:
        """Return an app with the functions at the usual path."""
        app = Starlette()
        if before_request is not None:
            app.add_middleware(BeforeRequest, before_request=before_request)
        stepserve.starlette.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return mounted routes, and a mounted app."""
        routed = Starlette(routes=[Mount(prefix, routes=stepserve.starlette.routes(client, functions))])
        mounted = Starlette(routes=[Mount(prefix, self.build(client, functions, None))])
        return {"routes": routed, "mounted app": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)
