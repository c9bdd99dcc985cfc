"""What is special to Litestar: routers, layers of the app, its CSRF protection and its schema, lifespans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import litestar
import pytest
from litestar.config.csrf import CSRFConfig
from litestar.exceptions import NotAuthorizedException

import stepserve.litestar
from stepserve import Context, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks import servers
from tests.frameworks.asgi import BeforeRequest


def _app(*handlers: Any, **options: Any) -> litestar.Litestar:
    # Without its logging, which writes from a thread to where pytest has stopped listening.
    return litestar.Litestar(route_handlers=handlers, logging_config=None, **options)


@pytest.mark.parametrize("path", [PATH, "/jobs"])
def test_a_route_handler_serves_below_routers(client: Inngest, recorder: Recorder, path: str) -> None:
    handler = stepserve.litestar.route_handler(client, [answering_async(client)], path=path)
    app = _app(litestar.Router("/outer", route_handlers=[litestar.Router("/inner", route_handlers=[handler])]))
    with servers.uvicorn(app) as port:
        send = Sender(port)
        answered = App(send, "/outer/inner" + path).call("answer")
        send("PUT", "/outer/inner" + path)
        above = send("GET", path)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == f"{send.origin}/outer/inner{path}"
    assert above.status == 404


def test_a_route_handler_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = _app(
        stepserve.litestar.route_handler(
            client, [answering_async(client)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
        )
    )
    with servers.uvicorn(app) as port:
        unsigned, signed = Sender(port)("PUT", PATH), App(Sender(port)).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


def test_guards_and_middleware_of_the_app_stand_before_calls(client: Inngest) -> None:
    seen: list[str] = []

    def refuse(connection: Any, handler: Any) -> None:
        if connection.headers.get("x-key") != "k":
            raise NotAuthorizedException("no key")

    def middleware(app: Any) -> Any:
        return BeforeRequest(app, lambda: seen.append("asked"))

    app = _app(guards=[refuse], middleware=[middleware])
    stepserve.litestar.serve(app, client, [answering_async(client)])
    with servers.uvicorn(app) as port:
        refused = Sender(port)("POST", PATH + "?fnId=shop-answer", call_body())
        answered = App(Sender(port)).call("answer", headers=[("x-key", "k")])

    assert refused.status == 401
    assert answered.json() == 42
    assert seen == ["asked", "asked"]


def test_exception_handlers_of_the_app_are_for_its_own_routes(client: Inngest) -> None:
    @client.create_function(fn_id="fails", trigger=TRIGGER)
    async def fails(ctx: Context) -> None:
        raise LookupError("of the function")

    @litestar.get("/own")
    async def own() -> None:
        raise LookupError("of the app")

    def handle(request: Any, error: Exception) -> litestar.Response[str]:
        return litestar.Response(f"handled {error}", status_code=418, media_type="text/plain")

    app = _app(own, exception_handlers={LookupError: handle})
    stepserve.litestar.serve(app, client, [fails])
    with servers.uvicorn(app) as port:
        handled = Sender(port)("GET", "/own")
        failed = App(Sender(port)).call("fails")

    assert (handled.status, handled.body) == (418, b"handled of the app")
    assert (failed.status, failed.json()["name"]) == (500, "LookupError")


def test_cross_site_protection_of_the_app_stays_out_of_the_way(client: Inngest) -> None:
    @litestar.post("/own")
    async def own() -> str:
        return "protected"

    app = _app(own, csrf_config=CSRFConfig(secret="secret"))
    stepserve.litestar.serve(app, client, [answering_async(client)])
    with servers.uvicorn(app) as port:
        protected = Sender(port)("POST", "/own")
        answered = App(Sender(port)).call("answer")

    assert protected.status == 403
    assert answered.json() == 42


def test_the_route_is_found_by_its_name_and_is_in_no_schema(client: Inngest) -> None:
    app = _app()
    stepserve.litestar.serve(app, client, [answering_async(client)])

    assert app.route_reverse("stepserve_shop") == PATH
    assert not app.openapi_schema.paths


def test_async_functions_run_on_the_loop_of_the_lifespan(client: Inngest) -> None:
    loops: list[object] = []

    @asynccontextmanager
    async def live(app: litestar.Litestar) -> AsyncGenerator[None, None]:
        loops.append(asyncio.get_running_loop())
        yield
        loops.append("ended")

    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> None:
        loops.append(asyncio.get_running_loop())

    app = _app(lifespan=[live])
    stepserve.litestar.serve(app, client, [where])
    with servers.uvicorn(app) as port:
        App(Sender(port)).call("where")

    assert len(loops) == 3
    assert loops[0] is loops[1]
    assert loops[2] == "ended"


def test_middleware_is_given_the_request_of_litestar(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = _app()
    stepserve.litestar.serve(app, client, [answering_async(client)])
    with servers.uvicorn(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert type(raw) is litestar.Request
    assert raw.url.path == PATH
    assert raw.app is app


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    app = _app()
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.litestar.serve(app, first, [answering_async(first)])
    stepserve.litestar.serve(app, second, [answering_async(second)], serve_path="/second")
    with servers.uvicorn(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)
