"""What is special to Sanic: blueprints, its middleware and error handlers, its timeouts, its loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sanic

import stepserve.sanic
from stepserve import Context, Inngest, Middleware, Streaming
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body, unwrapped
from stepserve_core import _streaming
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks.sanic import SanicOnItself, new_app

serve = SanicOnItself().serve


@pytest.mark.parametrize(("prefix", "path"), [(None, PATH), ("/internal", PATH), ("/internal", "/jobs")])
def test_a_blueprint_serves_below_its_prefix(
    client: Inngest, recorder: Recorder, prefix: str | None, path: str
) -> None:
    app = new_app()
    app.blueprint(stepserve.sanic.blueprint(client, [answering_async(client)], path=path), url_prefix=prefix)
    whole = (prefix or "") + path
    with serve(app) as port:
        send = Sender(port)
        answered = App(send, whole).call("answer")
        send("PUT", whole)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == send.origin + whole


def test_a_blueprint_serves_in_a_group_of_others(client: Inngest, recorder: Recorder) -> None:
    app = new_app()
    made = stepserve.sanic.blueprint(
        client, [answering_async(client)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
    )
    app.blueprint(sanic.Blueprint.group(made, url_prefix="/group", version=2))
    with serve(app) as port:
        unsigned = Sender(port)("PUT", "/v2/group" + PATH)
        signed = App(Sender(port), "/v2/group" + PATH).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@pytest.mark.parametrize("streaming", [Streaming.DISABLE, Streaming.FORCE])
def test_middleware_of_the_app_runs_around_calls(client: Inngest, streaming: Streaming) -> None:
    app = new_app()
    paths: list[str] = []

    async def before(request: sanic.Request) -> None:
        paths.append(request.path)

    async def after(request: sanic.Request, response: Any) -> None:
        response.headers["x-own"] = "after"

    app.register_middleware(before, "request")
    app.register_middleware(after, "response")
    stepserve.sanic.serve(app, client, [answering_async(client)], streaming=streaming)
    with serve(app) as port:
        reply = App(Sender(port)).request("POST", call_body(), query="?fnId=shop-answer&stepId=step")
    real = unwrapped(reply) if streaming is Streaming.FORCE else reply

    assert paths == [PATH]
    assert reply.headers["x-own"] == "after"
    assert real.json() == 42


def test_error_handlers_of_the_app_are_for_its_own_routes(client: Inngest) -> None:
    @client.create_function(fn_id="fails", trigger=TRIGGER)
    async def fails(ctx: Context) -> None:
        raise LookupError("of the function")

    async def own(request: sanic.Request) -> sanic.HTTPResponse:
        raise LookupError("of the app")

    async def handle(request: sanic.Request, error: Exception) -> sanic.HTTPResponse:
        return sanic.text(f"handled {error}", status=418)

    app = new_app()
    app.add_route(own, "/own")
    app.error_handler.add(LookupError, handle)
    stepserve.sanic.serve(app, client, [fails])
    with serve(app) as port:
        handled = Sender(port)("GET", "/own")
        failed = App(Sender(port)).call("fails")

    assert (handled.status, handled.body) == (418, b"handled of the app")
    assert (failed.status, failed.json()["name"]) == (500, "LookupError")


def test_a_streamed_call_may_take_longer_than_responses_of_the_app(
    client: Inngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    @client.create_function(fn_id="slow", trigger=TRIGGER)
    async def slow(ctx: Context) -> str:
        await asyncio.sleep(1)
        return "done"

    monkeypatch.setattr(_streaming, "KEEP_ALIVE", 0.01)
    app = new_app()
    app.config.RESPONSE_TIMEOUT = 0.4  # Sanic counts from the last byte that was sent
    stepserve.sanic.serve(app, client, [slow], streaming=Streaming.FORCE)
    with serve(app) as port:
        reply = App(Sender(port)).request("POST", call_body(), query="?fnId=shop-slow&stepId=step")

    assert unwrapped(reply).json() == "done"


def test_async_functions_run_on_the_loop_of_the_server(client: Inngest) -> None:
    loops: list[object] = []

    async def start(app: Any) -> None:
        loops.append(asyncio.get_running_loop())

    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> str:
        loops.append(asyncio.get_running_loop())
        return sanic.Request.get_current().path

    app = new_app()
    app.register_listener(start, "before_server_start")
    stepserve.sanic.serve(app, client, [where])
    with serve(app) as port:
        seen = App(Sender(port)).call("where").json()

    assert seen == PATH
    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_middleware_is_given_the_request(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = new_app()
    stepserve.sanic.serve(app, client, [answering_async(client)])
    body = call_body(data={"text": "é"})
    with serve(app) as port:
        App(Sender(port)).call("answer", body=body)
    (raw,) = seen

    assert isinstance(raw, sanic.Request)
    assert (raw.path, raw.body, raw.app) == (PATH, body, app)


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    app = new_app()
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.sanic.serve(app, first, [answering_async(first)])
    stepserve.sanic.serve(app, second, [answering_async(second)], serve_path="/second")
    with serve(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)
