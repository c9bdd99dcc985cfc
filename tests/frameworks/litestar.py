"""Litestar on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from litestar import Litestar, Router
from litestar.types import ASGIApp

import stepserve.litestar
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers
from tests.frameworks.asgi import BeforeRequest


class LitestarOnUvicorn(Harness):
    """Litestar on uvicorn."""

    FRAMEWORK = "litestar"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Litestar:
        """Return an app with the functions at the usual path."""

        def middleware(app: ASGIApp) -> ASGIApp:
            wrapped: Any = app if before_request is None else BeforeRequest(app, before_request)
            return cast("ASGIApp", wrapped)

        # Without its logging, which writes from a thread to where pytest has stopped listening.
        app = Litestar(middleware=[middleware], logging_config=None)
        stepserve.litestar.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a router below the prefix, and a whole app that is mounted."""
        router = Router(prefix, route_handlers=[stepserve.litestar.route_handler(client, functions)])
        whole = self.build(client, functions, None)

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await whole({**scope, "root_path": prefix}, receive, send)  # type: ignore[arg-type] # a dict

        return {"router": Litestar(route_handlers=[router], logging_config=None), "root_path": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)
