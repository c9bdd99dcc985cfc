"""What is special to Quart: blueprints, hooks and error handlers of the app, its timeouts, its loop, its contexts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import quart

import stepserve.quart
from stepserve import Context, Inngest, Middleware, Streaming
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body, unwrapped
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks import servers


@pytest.mark.parametrize(("prefix", "path"), [(None, PATH), ("/internal", PATH), ("/internal", "/jobs")])
def test_a_blueprint_serves_below_its_prefix(
    client: Inngest, recorder: Recorder, prefix: str | None, path: str
) -> None:
    app = quart.Quart("app")
    app.register_blueprint(stepserve.quart.blueprint(client, [answering_async(client)], path=path), url_prefix=prefix)
    whole = (prefix or "") + path
    with servers.hypercorn(app) as port:
        send = Sender(port)
        answered = App(send, whole).call("answer")
        send("PUT", whole)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == send.origin + whole


def test_a_blueprint_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = quart.Quart("app")
    app.register_blueprint(
        stepserve.quart.blueprint(
            client, [answering_async(client)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
        )
    )
    with servers.hypercorn(app) as port:
        unsigned, signed = Sender(port)("PUT", PATH), App(Sender(port)).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


def test_hooks_of_the_app_run_around_calls(client: Inngest) -> None:
    app = quart.Quart("app")
    lengths: list[int] = []

    async def measure() -> None:
        lengths.append(len(await quart.request.get_data(cache=True)))

    async def mark(response: Any) -> Any:
        response.headers["x-own"] = "after"
        return response

    app.before_request(measure)
    app.after_request(mark)
    stepserve.quart.serve(app, client, [answering_async(client)])
    body = call_body(data={"text": "é" * 1_000})
    with servers.hypercorn(app) as port:
        reply = App(Sender(port)).call("answer", body=body)

    assert lengths == [len(body)]
    assert reply.headers["x-own"] == "after"
    assert reply.json() == 42


def test_error_handlers_of_the_app_are_for_its_own_routes(client: Inngest) -> None:
    @client.create_function(fn_id="fails", trigger=TRIGGER)
    async def fails(ctx: Context) -> None:
        raise LookupError("of the function")

    async def handle(error: Exception) -> tuple[str, int]:
        return f"handled {error}", 418

    async def own() -> str:
        raise LookupError("of the app")

    app = quart.Quart("app")
    app.register_error_handler(LookupError, handle)
    app.add_url_rule("/own", view_func=own)
    stepserve.quart.serve(app, client, [fails])
    with servers.hypercorn(app) as port:
        handled = Sender(port)("GET", "/own")
        failed = App(Sender(port)).call("fails")

    assert (handled.status, handled.body) == (418, b"handled of the app")
    assert (failed.status, failed.json()["name"]) == (500, "LookupError")


def test_async_functions_run_on_the_loop_of_the_server_and_see_the_app(client: Inngest) -> None:
    loops: list[object] = []

    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> str:
        loops.append(asyncio.get_running_loop())
        return f"{quart.current_app.name} {quart.request.path}"

    async def start() -> None:
        loops.append(asyncio.get_running_loop())

    app = quart.Quart("app")
    app.before_serving(start)
    stepserve.quart.serve(app, client, [where])
    with servers.hypercorn(app) as port:
        seen = App(Sender(port)).call("where").json()

    assert seen == f"app {PATH}"
    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_a_streamed_call_may_take_longer_than_responses_of_the_app(client: Inngest) -> None:
    @client.create_function(fn_id="slow", trigger=TRIGGER)
    async def slow(ctx: Context) -> str:
        await asyncio.sleep(0.2)
        return "done"

    app = quart.Quart("app")
    app.config["RESPONSE_TIMEOUT"] = 0.01
    stepserve.quart.serve(app, client, [slow], streaming=Streaming.FORCE)
    with servers.hypercorn(app) as port:
        reply = App(Sender(port)).request("POST", call_body(), query="?fnId=shop-slow&stepId=step")

    assert unwrapped(reply).json() == "done"


def test_middleware_is_given_the_request_itself(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = quart.Quart("app")
    stepserve.quart.serve(app, client, [answering_async(client)])
    with servers.hypercorn(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert type(raw) is quart.Request
    assert raw.path == PATH


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    app = quart.Quart("app")
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.quart.serve(app, first, [answering_async(first)])
    stepserve.quart.serve(app, second, [answering_async(second)], serve_path="/second")
    with servers.hypercorn(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)
