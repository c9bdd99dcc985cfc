"""Robyn on its own server, in a child process: it starts once in a process, and nothing but its end stops it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import robyn

import stepserve.robyn
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import Harness
from tests.frameworks import child_process


class RobynOnItself(Harness):
    """Robyn on its own server."""

    FRAMEWORK = "robyn"
    CALLS_FROM_LOOP = True
    PARSES_FORMS = True
    # Robyn runs hooks and views as tasks of one context, which Python's loops can do since 3.11.
    KEEPS_CONTEXT = sys.version_info >= (3, 11)

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> robyn.Robyn:
        """Return an app with the functions at the usual path."""
        app = robyn.Robyn(__file__)
        if before_request is not None:

            async def call(request: robyn.Request) -> robyn.Request:
                before_request()
                return request

            app.before_request()(call)
        stepserve.robyn.serve(app, client, functions, **options)
        return app

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a router below the prefix."""
        app = robyn.Robyn(__file__)
        app.include_router(stepserve.robyn.router(client, functions, prefix=prefix))
        return {"router": app}

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Robyn's server, and let it take the bodies that the suite sends."""
        return serve(app, ROBYN_MAX_PAYLOAD_SIZE=str(64 * 1024 * 1024))


def serve(app: robyn.Robyn, **variables: str) -> AbstractContextManager[int]:
    """Serve in a process with these environment variables."""

    def serve_forever(port: int) -> None:
        os.environ.update(variables)
        # What Robyn itself uses: functions of uvloop, and of the standard library, that newer Pythons deprecate.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(robyn|uvloop)\b")
        app.start("127.0.0.1", port)

    return child_process.serving(serve_forever)
