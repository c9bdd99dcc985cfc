"""FastAPI on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import fastapi

import stepserve.fastapi
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers
from tests.frameworks.asgi import BeforeRequest


class FastAPIOnUvicorn(Harness):
    """FastAPI on uvicorn."""

    FRAMEWORK = "fast_api"
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

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a router below the prefix, and a whole app."""
        routed = fastapi.FastAPI()
        routed.include_router(stepserve.fastapi.router(client, functions), prefix=prefix)
        mounted = fastapi.FastAPI()
        mounted.mount(prefix, self.build(client, functions, None))
        return {"router": routed, "mounted app": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)
