"""The ASGI application without a framework, on uvicorn and on hypercorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import stepserve.asgi
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers


class ASGIOnUvicorn(Harness):
    """The bare application on uvicorn."""

    FRAMEWORK = "asgi"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips
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

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return the application as routers call it: with the whole path, as ASGI says, or with what is left of it."""
        whole = self.build(client, functions, None)

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await whole({**scope, "root_path": prefix}, receive, send)

        async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
            await mounted({**scope, "path": scope["path"].removeprefix(prefix)}, receive, send)

        return {"root_path": mounted, "root_path, cut off": cut_off}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)


class ASGIOnHypercorn(ASGIOnUvicorn):
    """The bare application on hypercorn."""

    FORWARDED_BY_DEFAULT = frozenset()
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with hypercorn."""
        return servers.hypercorn(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve behind hypercorn's own middleware for this."""
        from hypercorn.middleware import ProxyFixMiddleware

        return self.serve(ProxyFixMiddleware(app, mode="legacy", trusted_hops=1))


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
