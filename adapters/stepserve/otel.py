"""OpenTelemetry: spans for calls, functions and steps. Needs `stepserve[otel]`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from stepserve_core import (
    CallInfo,
    Context,
    ContextSync,
    Function,
    Inngest,
    Middleware,
    StepMemos,
    TransformOutputStepInfo,
    __version__,
)

_CONTEXT_HEADERS = ("traceparent", "tracestate", "baggage")


class OpenTelemetryMiddleware(Middleware):
    """Makes a span for each call of a function, for its code, and for each step whose code is executed.

        client = Inngest(app_id="shop", middleware=[OpenTelemetryMiddleware])

    Put it first, so that its spans stand around what other middleware does. Steps that are replayed have no span. The
    span of the call is a child of the span that is current (an instrumented framework made it), else of the one that
    the request's `traceparent` header names. Errors are recorded on the spans of steps and functions.

    Attributes: `inngest.app.id`, `inngest.function.id`, `inngest.run.id` and `inngest.attempt` on every span;
    `inngest.event.name`, `inngest.event.id` and `inngest.event.count` on that of a function; `inngest.step.id` on that
    of a step; `inngest.reported.step.ids` and `inngest.reported.step.ops` on that of a call that reports steps.

    Args:
        tracer_provider: another one than the global.
    """

    def __init__(self, client: Inngest, raw_request: object, *, tracer_provider: TracerProvider | None = None) -> None:
        super().__init__(client, raw_request)
        self._tracer = trace.get_tracer("stepserve", __version__, tracer_provider)
        self._attributes: dict[str, AttributeValue] = {}
        self._event: dict[str, AttributeValue] = {}
        self._call_span: trace.Span = trace.INVALID_SPAN

    @classmethod
    def factory(
        cls, *, tracer_provider: TracerProvider | None = None
    ) -> Callable[[Inngest, Any], OpenTelemetryMiddleware]:
        """Return what `Inngest(middleware=[…])` takes. For the arguments see the class."""
        return lambda client, raw_request: cls(client, raw_request, tracer_provider=tracer_provider)

    @contextmanager
    def around_call(self, call: CallInfo) -> Generator[None, None, None]:
        """Make the span of the call."""
        self._attributes = {
            "inngest.app.id": self.client.app_id,
            "inngest.function.id": call.function_id,
            "inngest.run.id": call.run_id,
            "inngest.attempt": call.attempt,
        }
        parent, kind = None, SpanKind.INTERNAL
        if not trace.get_current_span().get_span_context().is_valid:
            headers = {name: self.request_headers.get(name) for name in _CONTEXT_HEADERS}
            parent = propagate.extract({name: value for name, value in headers.items() if value})
            kind = SpanKind.SERVER
        with self._tracer.start_as_current_span(
            f"call {call.function_id}",
            context=parent,
            kind=kind,
            attributes=self._attributes,
            record_exception=False,  # the span of the function or step has it
        ) as self._call_span:
            yield

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Take note of the event."""
        del function, steps
        self._event = {
            "inngest.event.name": ctx.event.name,
            "inngest.event.id": ctx.event.id,
            "inngest.event.count": len(ctx.events),
        }

    def around_function(self, call: CallInfo) -> AbstractContextManager[object]:
        """Make the span of the function's code."""
        return self._tracer.start_as_current_span(
            f"function {call.function_id}", attributes={**self._attributes, **self._event}
        )

    def around_step(self, step: TransformOutputStepInfo) -> AbstractContextManager[object]:
        """Make the span of a step's code."""
        return self._tracer.start_as_current_span(
            f"step {step.id}", attributes={**self._attributes, "inngest.step.id": step.id}
        )

    def before_report(self, steps: list[TransformOutputStepInfo]) -> None:
        """Say in the span of the call what it reports."""
        self._call_span.set_attribute("inngest.reported.step.ids", [step.id for step in steps])
        self._call_span.set_attribute("inngest.reported.step.ops", [step.op.value for step in steps])
