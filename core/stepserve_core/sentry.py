"""Errors of functions in Sentry (protocol.md 9.7). Needs `stepserve[sentry]`."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import Any

import sentry_sdk

from stepserve_core import (
    CallInfo,
    Context,
    ContextSync,
    Function,
    Inngest,
    MiddlewareSync,
    StepMemos,
    TransformOutputResult,
)
from stepserve_core._threads import threads

FLUSH_SECONDS = 2.0


class SentryMiddleware(MiddlewareSync):
    """Sends what functions and steps raise to Sentry, tagged with app, function, run, event and step.

        sentry_sdk.init(dsn=…)
        client = Inngest(app_id="shop", middleware=[SentryMiddleware])

    Each call has an isolation scope of its own, so tags of one do not appear at errors of another. What Sentry has
    queued is sent before the answer leaves, for platforms that freeze a process between requests.
    """

    def __init__(self, client: Inngest, raw_request: object) -> None:
        super().__init__(client, raw_request)
        self._is_async = False
        if not sentry_sdk.is_initialized():
            client.logger.warning("SentryMiddleware does nothing: call sentry_sdk.init(dsn=…) while the program starts")

    def around_call(self, call: CallInfo) -> AbstractContextManager[object]:
        """Give the call a scope of its own; it is left whatever becomes of the call."""
        del call
        return sentry_sdk.isolation_scope()

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Tag whatever is sent from now on."""
        del steps
        self._is_async = isinstance(ctx, Context)
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag("inngest.app.id", self.client.app_id)
        scope.set_tag("inngest.event.count", len(ctx.events))
        scope.set_tag("inngest.event.id", ctx.event.id)
        scope.set_tag("inngest.event.name", ctx.event.name)
        scope.set_tag("inngest.function.id", function.local_id)
        scope.set_tag("inngest.function.name", function.name)
        scope.set_tag("inngest.run.id", ctx.run_id)

    def transform_output(self, result: TransformOutputResult) -> None:
        """Send the error of the function or of the step."""
        if result.error is None:
            return
        if result.step is None:
            sentry_sdk.capture_exception(result.error)
        else:
            sentry_sdk.capture_exception(result.error, tags={"inngest.step.id": result.step.id})

    def before_response(self) -> Awaitable[None] | None:
        """Send what is queued."""
        if self._is_async:
            return threads.run(_flush)  # it blocks
        _flush()
        return None


def _flush() -> None:
    sentry_sdk.flush(timeout=FLUSH_SECONDS)
