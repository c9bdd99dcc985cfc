"""What is special to aiohttp: routes, middlewares of the app that read the body, its limits, its loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web

import stepserve.aiohttp
from stepserve import Context, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks.aiohttp import serve


def test_routes_take_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = web.Application()
    app.add_routes(
        stepserve.aiohttp.routes(
            client, [answering_async(client)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
        )
    )
    with serve(app) as port:
        unsigned, signed = Sender(port)("PUT", PATH), App(Sender(port)).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@pytest.mark.parametrize("size", [1, 400_000])
def test_middlewares_of_the_app_may_read_the_body_first(client: Inngest, size: int) -> None:
    lengths: list[int] = []

    @web.middleware
    async def measure(request: web.Request, handler: Any) -> web.StreamResponse:
        lengths.append(len(await request.read()))
        response: web.StreamResponse = await handler(request)
        return response

    app = web.Application(middlewares=[measure])
    stepserve.aiohttp.serve(app, client, [answering_async(client)])
    body = call_body(data={"text": "x" * size})
    with serve(app) as port:
        answered = App(Sender(port)).call("answer", body=body)

    assert answered.json() == 42
    assert lengths == [len(body)]


def test_the_limit_of_the_app_counts_for_its_own_routes_only(client: Inngest) -> None:
    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=1_000)
    app.add_routes([web.post("/own", read)])
    stepserve.aiohttp.serve(app, client, [answering_async(client)])
    with serve(app) as port:
        own = Sender(port)("POST", "/own", b"x" * 2_000)
        answered = App(Sender(port)).call("answer", data={"text": "x" * 2_000})

    assert own.status == 413
    assert answered.json() == 42


def test_what_a_middleware_says_about_a_proxy_is_reported(client: Inngest, recorder: Recorder) -> None:
    @web.middleware
    async def trust(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request.clone(scheme="https", host="shop.example.com"))
        return response

    app = web.Application(middlewares=[trust])
    stepserve.aiohttp.serve(app, client, [answering_async(client)])
    with serve(app) as port:
        Sender(port)("PUT", PATH)

    assert recorder.requests[0].json()["url"] == "https://shop.example.com" + PATH


def test_a_request_that_ends_early_alarms_nobody(client: Inngest, caplog: pytest.LogCaptureFixture) -> None:
    app = web.Application()
    stepserve.aiohttp.serve(app, client, [answering_async(client)])
    half = b"POST /api/inngest?fnId=shop-answer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"
    began = asyncio.Event()

    @web.middleware
    async def notice(request: web.Request, handler: Any) -> web.StreamResponse:
        began.set()
        response: web.StreamResponse = await handler(request)
        return response

    async def send_half(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(half)
        await began.wait()
        writer.close()
        await writer.wait_closed()

    async def main() -> int:
        app.middlewares.append(notice)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        await send_half(port)
        answered = await asyncio.to_thread(lambda: App(Sender(port)).call("answer").status)
        await runner.cleanup()
        return answered

    assert asyncio.run(main()) == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_async_functions_run_on_the_loop_of_the_server(client: Inngest) -> None:
    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> int:
        return id(asyncio.get_running_loop())

    loops: list[int] = []

    async def on_startup(app: web.Application) -> None:
        loops.append(id(asyncio.get_running_loop()))

    app = web.Application()
    app.on_startup.append(on_startup)
    stepserve.aiohttp.serve(app, client, [where])
    with serve(app) as port:
        assert App(Sender(port)).call("where").json() == loops[0]


def test_middleware_is_given_the_request(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = web.Application()
    stepserve.aiohttp.serve(app, client, [answering_async(client)])
    with serve(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert isinstance(raw, web.Request)
    assert raw.path == PATH


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    app = web.Application()
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.aiohttp.serve(app, first, [answering_async(first)])
    stepserve.aiohttp.serve(app, second, [answering_async(second)], serve_path="/second")
    with serve(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)
