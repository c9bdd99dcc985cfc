"""What is special to Falcon: resources of both kinds of app, its middleware, its error handlers, its loop."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon
import falcon.asgi
import pytest

import stepserve.falcon
from stepserve import Context, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks import servers


class _WSGI:
    """A WSGI app on waitress."""

    request = falcon.Request
    serve = staticmethod(servers.waitress)
    resource = staticmethod(stepserve.falcon.resource)

    @staticmethod
    def app(**options: Any) -> Any:
        """Return an app."""
        return falcon.App(**options)


class _ASGI:
    """An ASGI app on uvicorn."""

    request = falcon.asgi.Request
    serve = staticmethod(servers.uvicorn)
    resource = staticmethod(stepserve.falcon.async_resource)

    @staticmethod
    def app(**options: Any) -> Any:
        """Return an app."""
        return falcon.asgi.App(**options)


Kind = type[_WSGI] | type[_ASGI]


@pytest.fixture(params=[_WSGI, _ASGI], ids=["WSGI", "ASGI"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Return a kind of app."""
    made: Kind = request.param
    return made


def test_a_resource_takes_the_options_of_serve(kind: Kind, client: Inngest, recorder: Recorder) -> None:
    app = kind.app()
    options: dict[str, Any] = {"enable_unauthed_sync": False, "serve_origin": "foo.com", "public_path": "/pub"}
    app.add_route("/internal/jobs", kind.resource(client, [answering_async(client)], **options))
    with kind.serve(app) as port:
        unsigned = Sender(port)("PUT", "/internal/jobs")
        signed = App(Sender(port), "/internal/jobs").request("PUT")
        answered = App(Sender(port), "/internal/jobs").call("answer")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"
    assert answered.json() == 42


def test_middleware_of_the_app_runs_around_calls(kind: Kind, client: Inngest) -> None:
    seen: list[str] = []

    class Own:
        def process_request(self, req: Any, resp: Any) -> None:
            seen.append(req.path)

        def process_response(self, req: Any, resp: Any, resource: object, req_succeeded: bool) -> None:
            seen.append(type(resource).__name__)
            resp.set_header("x-own", "after")

        async def process_request_async(self, req: Any, resp: Any) -> None:
            self.process_request(req, resp)

        async def process_response_async(self, req: Any, resp: Any, resource: object, req_succeeded: bool) -> None:
            self.process_response(req, resp, resource, req_succeeded)

    app = kind.app(middleware=[Own()])
    stepserve.falcon.serve(app, client, [answering_async(client)])
    with kind.serve(app) as port:
        reply = App(Sender(port)).call("answer")

    assert seen == [PATH, "Resource" if kind is _WSGI else "AsyncResource"]
    assert reply.headers["x-own"] == "after"
    assert reply.json() == 42


def test_error_handlers_of_the_app_are_for_its_own_routes(kind: Kind, client: Inngest) -> None:
    @client.create_function(fn_id="fails", trigger=TRIGGER)
    async def fails(ctx: Context) -> None:
        raise LookupError("of the function")

    class Own:
        def on_get(self, req: Any, resp: Any) -> None:
            raise LookupError("of the app")

    class OwnAsync:
        async def on_get(self, req: Any, resp: Any) -> None:
            raise LookupError("of the app")

    def handle(req: Any, resp: Any, error: Exception, params: object) -> None:
        resp.status, resp.text = 418, f"handled {error}"

    async def handle_async(req: Any, resp: Any, error: Exception, params: object) -> None:
        handle(req, resp, error, params)

    app = kind.app()
    app.add_error_handler(LookupError, handle if kind is _WSGI else handle_async)
    app.add_route("/own", Own() if kind is _WSGI else OwnAsync())
    stepserve.falcon.serve(app, client, [fails])
    with kind.serve(app) as port:
        handled = Sender(port)("GET", "/own")
        failed = App(Sender(port)).call("fails")

    assert (handled.status, handled.body) == (418, b"handled of the app")
    assert (failed.status, failed.json()["name"]) == (500, "LookupError")


def test_async_functions_run_on_the_loop_of_an_asgi_server(client: Inngest) -> None:
    loops: list[object] = []

    class Own:
        async def process_startup(self, scope: object, event: object) -> None:
            loops.append(asyncio.get_running_loop())

        async def process_shutdown(self, scope: object, event: object) -> None:
            loops.append("ended")

    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> None:
        loops.append(asyncio.get_running_loop())

    app: Any = falcon.asgi.App(middleware=[Own()])
    stepserve.falcon.serve(app, client, [where])
    with servers.uvicorn(app) as port:
        App(Sender(port)).call("where")

    assert len(loops) == 3
    assert loops[0] is loops[1]
    assert loops[2] == "ended"


def test_middleware_is_given_the_request(kind: Kind, recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = kind.app()
    stepserve.falcon.serve(app, client, [answering_async(client)])
    with kind.serve(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert type(raw) is kind.request
    assert raw.path == PATH


def test_two_apps_can_be_served_by_one_application(kind: Kind, recorder: Recorder) -> None:
    app = kind.app()
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.falcon.serve(app, first, [answering_async(first)])
    stepserve.falcon.serve(app, second, [answering_async(second)], serve_path="/second")
    with kind.serve(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)
