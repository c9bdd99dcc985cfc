"""Bottle on waitress. Its default server takes one request at a time, and is not for production."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bottle  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Bottle has no types

import stepserve.bottle
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS
from tests.frameworks.wsgi import WSGIOnWaitress


class BottleOnWaitress(WSGIOnWaitress):
    """Bottle on waitress."""

    FRAMEWORK = "bottle"
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> bottle.Bottle:
        """Return an app with the functions at the usual path."""
        app = bottle.Bottle()
        if before_request is not None:
            app.add_hook("before_request", before_request)
        stepserve.bottle.serve(app, client, functions, **options)
        return app

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return an app with a mounted app, and one with a WSGI application below it."""
        mounted, wrapped = bottle.Bottle(), bottle.Bottle()
        mounted.mount(f"{prefix}/", stepserve.bottle.application(client, functions))
        wrapped.mount(f"{prefix}/", self.build(client, functions, None).wsgi)
        return {"mount": mounted, "SCRIPT_NAME": wrapped}
