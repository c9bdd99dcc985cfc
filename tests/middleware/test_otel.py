"""Spans, over real servers: who is whose parent, what they say, and that replayed steps have none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, NamedTuple

import httpx
import pytest

import stepserve
import stepserve.fastapi
import stepserve.flask
from stepserve.testing import servers
from tests.core.calls import TRIGGER, call_body, dev_client, hashed
from tests.core.colours import COLOURS, in_colour

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stepserve.otel import OpenTelemetryMiddleware

FRAMEWORKS = ("flask", "fastapi")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Spans:
    """Keeps the spans of a provider of its own."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def by_name(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended."""
        spans = {span.name: span for span in self._exporter.get_finished_spans()}
        assert len(spans) == len(self._exporter.get_finished_spans())
        return spans

    def tree(self) -> dict[str, str]:
        """Return the name of each span's parent; "outside" if it is not one of ours, "" if there is none."""
        names = {span.context.span_id: name for name, span in self.by_name().items() if span.context}
        return {
            name: names.get(span.parent.span_id, "outside") if span.parent else ""
            for name, span in self.by_name().items()
        }


class Place(NamedTuple):
    """A framework, the colour of the function, and where spans go."""

    framework: str
    colour: str
    spans: Spans

    @contextlib.contextmanager
    def serve(self, body: Any, around: Callable[[], Any] = contextlib.nullcontext) -> Generator[str, None, None]:
        """Serve a function over a socket; `around` stands around each request, as instrumentation does."""
        client = dev_client(middleware=[OpenTelemetryMiddleware.factory(tracer_provider=self.spans.provider)])
        function = client.create_function(fn_id="f", trigger=TRIGGER)(in_colour(self.colour, body))
        running = _flask(client, function, around) if self.framework == "flask" else _fastapi(client, function, around)
        with running as port:
            yield f"http://127.0.0.1:{port}/api/inngest?fnId=app-f&stepId=step"


def _flask(client: stepserve.Inngest, function: Any, around: Callable[[], Any]) -> Any:
    import flask

    app = flask.Flask("app")
    stepserve.flask.serve(app, client, [function])

    def surrounded(environ: Any, start_response: Any) -> Any:
        with around():
            return app(environ, start_response)

    return servers.waitress(surrounded)


def _fastapi(client: stepserve.Inngest, function: Any, around: Callable[[], Any]) -> Any:
    import fastapi

    app = fastapi.FastAPI()
    stepserve.fastapi.serve(app, client, [function])

    async def surrounded(scope: Any, receive: Any, send: Any) -> None:
        with around() if scope["type"] == "http" else contextlib.nullcontext():
            await app(scope, receive, send)

    return servers.uvicorn(surrounded)


@pytest.fixture(params=[(framework, colour) for framework in FRAMEWORKS for colour in COLOURS], ids="-".join)
def place(request: pytest.FixtureRequest) -> Place:
    """Run a test in both frameworks, with functions of both colours."""
    framework, colour = request.param
    return Place(framework, colour, Spans())


def post(url: str, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Call the function; return the body of the answer."""
    return httpx.post(url, json=call_body(**fields), headers=headers, timeout=20).json()


async def two_steps(ctx: Any) -> object:
    """Use two steps."""
    await ctx.step.run("a", lambda: None)
    return await ctx.step.run("b", lambda: None)


async def raises(ctx: Any) -> None:
    """Fail."""
    raise ValueError("boom")


async def fails_in_a_step(ctx: Any) -> object:
    """Fail in a step."""
    return await ctx.step.run("a", dict[str, str]().__getitem__, "key")


def test_there_are_spans_for_call_function_and_step_below_the_caller(place: Place) -> None:
    with place.serve(two_steps) as url:
        post(url, TRACEPARENT)

    expected = {"step a": "function app-f", "function app-f": "call app-f", "call app-f": "outside"}
    assert expected == place.spans.tree()
    call_span = place.spans.by_name()["call app-f"]
    assert call_span.parent is not None
    assert (TRACE, PARENT) == (f"{call_span.parent.trace_id:032x}", f"{call_span.parent.span_id:016x}")
    assert {TRACE} == {f"{span.context.trace_id:032x}" for span in place.spans.by_name().values() if span.context}
    assert trace.SpanKind.SERVER is call_span.kind


def test_a_replayed_step_has_no_span(place: Place) -> None:
    with place.serve(two_steps) as url:
        post(url, steps={hashed("a"): {"data": None}})

    assert {"step b": "function app-f", "function app-f": "call app-f", "call app-f": ""} == place.spans.tree()


def test_what_spans_say(place: Place) -> None:
    with place.serve(two_steps) as url:
        post(url, attempt=2)

    run = {"inngest.app.id": "app", "inngest.function.id": "app-f", "inngest.run.id": "01HRUN", "inngest.attempt": 2}
    event = {"inngest.event.name": "shop/order", "inngest.event.id": "01HEVENT", "inngest.event.count": 1}
    reported = {"inngest.reported.step.ids": ("a",), "inngest.reported.step.ops": ("StepRun",)}
    said = {name: dict(span.attributes or {}) for name, span in place.spans.by_name().items()}
    expected = {
        "call app-f": {**run, **reported},
        "function app-f": {**run, **event},
        "step a": {**run, "inngest.step.id": "a"},
    }
    assert expected == said


def errors_of(span: ReadableSpan) -> tuple[str, list[Any]]:
    """Return the status of a span, and the types of the errors that it records."""
    return span.status.status_code.name, [(event.attributes or {})["exception.type"] for event in span.events]


def test_the_error_of_a_step_is_recorded_there(place: Place) -> None:
    with place.serve(fails_in_a_step) as url:
        post(url)

    spans = place.spans.by_name()
    assert ("ERROR", ["KeyError"]) == errors_of(spans["step a"])
    assert ("UNSET", []) == errors_of(spans["function app-f"]) == errors_of(spans["call app-f"])
    assert ("StepError",) == (spans["call app-f"].attributes or {})["inngest.reported.step.ops"]


def test_the_error_of_a_function_is_recorded_there(place: Place) -> None:
    with place.serve(raises) as url:
        post(url)

    spans = place.spans.by_name()
    assert ("ERROR", ["ValueError"]) == errors_of(spans["function app-f"])
    assert ("ERROR", []) == errors_of(spans["call app-f"])
    assert "ValueError: boom" == spans["call app-f"].status.description


def test_spans_of_the_user_are_below_those_of_function_and_step(place: Place) -> None:
    tracer = place.spans.tracer

    async def body(ctx: Any) -> object:
        with tracer.start_as_current_span("in function"):
            pass
        return await ctx.step.run("a", lambda: tracer.start_span("in step").end())

    with place.serve(body) as url:
        post(url)

    tree = place.spans.tree()
    assert ("function app-f", "step a") == (tree["in function"], tree["in step"])


def test_a_span_that_is_current_is_the_parent(place: Place) -> None:
    with place.serve(two_steps, lambda: place.spans.tracer.start_as_current_span("request")) as url:
        post(url, TRACEPARENT)

    assert "request" == place.spans.tree()["call app-f"]
    assert trace.SpanKind.INTERNAL is place.spans.by_name()["call app-f"].kind


def test_context_variables_of_the_framework_are_kept_in_whatever_thread_the_function_runs(place: Place) -> None:
    @contextlib.contextmanager
    def around() -> Generator[None, None, None]:
        token = tenant.set("acme")
        try:
            yield
        finally:
            tenant.reset(token)

    async def body(ctx: Any) -> object:
        return [tenant.get(), await ctx.step.run("a", lambda: 1)]

    async def in_step(ctx: Any) -> object:
        return await ctx.step.run("a", tenant.get)

    with place.serve(body, around) as url:
        assert ["acme", 1] == post(url, steps={hashed("a"): {"data": 1}})
    with place.serve(in_step, around) as url:
        assert "acme" == post(url)[0]["data"]


def test_calls_at_the_same_time_do_not_mix(place: Place) -> None:
    meet = threading.Barrier(3, timeout=20)

    async def body(ctx: Any) -> object:
        # Other threads meet here; on an event loop the calls of one loop follow one another.
        if place.colour == "sync":
            meet.wait()
        return await ctx.step.run(ctx.run_id, lambda: None)

    with place.serve(body) as url:
        threads = [threading.Thread(target=post, args=(url,), kwargs={"run_id": str(number)}) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    exporter = place.spans._exporter
    runs: dict[int, set[Any]] = {}
    for span in exporter.get_finished_spans():
        assert span.context is not None
        runs.setdefault(span.context.trace_id, set()).add((span.attributes or {})["inngest.run.id"])
    assert 9 == len(exporter.get_finished_spans())
    assert ["0", "1", "2"] == sorted("".join(ids) for ids in runs.values())


def test_the_steps_of_a_group_are_said_by_the_call(place: Place) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.sleep("b", 1000)))

    with place.serve(body) as url:
        post(url)

    attributes = place.spans.by_name()["call app-f"].attributes or {}
    assert ("a", "b") == attributes["inngest.reported.step.ids"]
    assert ("StepPlanned", "Sleep") == attributes["inngest.reported.step.ops"]
    assert {"function app-f": "call app-f", "call app-f": ""} == place.spans.tree()


def test_without_a_provider_nothing_is_made_and_nothing_breaks(place: Place) -> None:
    client = dev_client(middleware=[OpenTelemetryMiddleware])
    function = client.create_function(fn_id="f", trigger=TRIGGER)(in_colour(place.colour, two_steps))
    running = _flask if place.framework == "flask" else _fastapi

    with running(client, function, contextlib.nullcontext) as port:
        assert "a" == post(f"http://127.0.0.1:{port}/api/inngest?fnId=app-f&stepId=step")[0]["displayName"]
    assert {} == place.spans.tree()
