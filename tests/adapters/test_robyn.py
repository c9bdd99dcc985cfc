"""What is special to Robyn: routers, its middleware and error handlers, its schema, its processes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import robyn

import stepserve.robyn
from stepserve import Context, Inngest, Middleware, Streaming
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.inbox import Inbox
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body, unwrapped
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks.robyn import serve


def test_a_router_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    made = stepserve.robyn.router(
        client,
        [answering_async(client)],
        prefix="/internal",
        path="/jobs",
        enable_unauthed_sync=False,
        serve_origin="foo.com",
        public_path="/pub",
    )
    app = robyn.Robyn(__file__)
    app.include_router(made)
    with serve(app) as port:
        unsigned = Sender(port)("PUT", "/internal/jobs")
        signed = App(Sender(port), "/internal/jobs").request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@pytest.mark.parametrize("streaming", [Streaming.DISABLE, Streaming.FORCE])
def test_middleware_of_the_app_runs_around_calls(client: Inngest, streaming: Streaming) -> None:
    app = robyn.Robyn(__file__)

    async def before(request: robyn.Request) -> robyn.Request:
        request.headers.set("x-request-id", "of the app")
        return request

    async def after(response: robyn.Response) -> robyn.Response:
        response.headers.set("x-own", "after")
        return response

    @client.create_function(fn_id="tells", trigger=TRIGGER)
    async def tells(ctx: Context) -> str | None:
        return ctx.request_id

    app.before_request()(before)
    app.after_request()(after)
    stepserve.robyn.serve(app, client, [tells], streaming=streaming)
    with serve(app) as port:
        reply = App(Sender(port)).request("POST", call_body(), query="?fnId=shop-tells&stepId=step")
    real = unwrapped(reply) if streaming is Streaming.FORCE else reply

    assert real.json() == "of the app"
    # Robyn does not show streamed responses to such middleware.
    assert reply.headers.get("x-own") == ("after" if streaming is Streaming.DISABLE else None)


def test_error_handlers_of_the_app_are_for_its_own_routes(client: Inngest) -> None:
    @client.create_function(fn_id="fails", trigger=TRIGGER)
    async def fails(ctx: Context) -> None:
        raise LookupError("of the function")

    async def own(request: robyn.Request) -> str:
        raise LookupError("of the app")

    def handle(error: Exception) -> robyn.Response:
        return robyn.Response(418, {}, f"handled {error}")

    app = robyn.Robyn(__file__)
    app.exception(handle)
    app.add_route("GET", "/own", own)
    stepserve.robyn.serve(app, client, [fails])
    with serve(app) as port:
        handled = Sender(port)("GET", "/own")
        failed = App(Sender(port)).call("fails")

    assert (handled.status, handled.body) == (418, b"handled of the app")
    assert (failed.status, failed.json()["name"]) == (500, "LookupError")


def test_the_schema_shows_the_routes_of_the_app_only(client: Inngest) -> None:
    async def own(request: robyn.Request) -> str:
        return "own"

    app = robyn.Robyn(__file__)
    app.add_route("GET", "/own", own)
    stepserve.robyn.serve(app, client, [answering_async(client)])
    with serve(app) as port:
        schema = json.loads(Sender(port)("GET", "/openapi.json").body)

    assert list(schema["paths"]) == ["/own"]


def test_middleware_is_given_the_request_of_robyn(recorder: Recorder, client: Inngest) -> None:
    with Inbox.opened() as inbox:

        class Tells(Middleware):
            def __init__(self, client: Any, raw_request: object) -> None:
                super().__init__(client, raw_request)
                assert isinstance(raw_request, robyn.Request)
                inbox.tell(f"{raw_request.method} {raw_request.url.path}")

        function = client.create_function(fn_id="answer", trigger=TRIGGER, middleware=[Tells])(_answer)
        app = robyn.Robyn(__file__)
        stepserve.robyn.serve(app, client, [function])
        with serve(app) as port:
            App(Sender(port)).call("answer")

        assert inbox.next_word() == f"POST {PATH}"


async def _answer(ctx: Context) -> int:
    return 42


def test_several_processes_serve_the_same_functions(client: Inngest) -> None:
    app = robyn.Robyn(__file__)
    app.config.processes = 2
    stepserve.robyn.serve(app, client, [answering_async(client)])
    with serve(app) as port:
        answers = [App(Sender(port)).call("answer").json() for _ in range(8)]

    assert answers == [42] * 8
