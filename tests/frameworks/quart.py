"""Quart, on hypercorn and on uvicorn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import quart

import stepserve.quart
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers


class QuartOnHypercorn(Harness):
    """Quart on hypercorn, which `quart run` uses too."""

    FRAMEWORK = "quart"
    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = True
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})
    ANSWERS_OPTIONS = True
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> quart.Quart:
        """Return an app with the functions at the usual path."""
        app = quart.Quart("contract")
        if before_request is not None:

            @app.before_request
            async def call() -> None:
                before_request()

            assert call is not None
        stepserve.quart.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with hypercorn."""
        return servers.hypercorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a blueprint below the prefix, and a whole app."""
        blueprints = quart.Quart("contract")
        blueprints.register_blueprint(stepserve.quart.blueprint(client, functions), url_prefix=prefix)
        whole = self.build(client, functions, None)

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await whole({**scope, "root_path": prefix}, receive, send)  # type: ignore[arg-type] # a scope is a dict

        return {"blueprint": blueprints, "root_path": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve behind hypercorn's own middleware for this."""
        from hypercorn.middleware import ProxyFixMiddleware

        return self.serve(ProxyFixMiddleware(app, mode="legacy", trusted_hops=1))


class QuartOnUvicorn(QuartOnHypercorn):
    """Quart on uvicorn."""

    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)
