"""What is special to Starlette: mounted routes, names of routes, its own request object."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

import stepserve.fast_api
import stepserve.fastapi
import stepserve.starlette
from stepserve import Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App
from tests.adapters.answering import answering_async
from tests.frameworks import servers


@pytest.mark.parametrize("path", [PATH, "/jobs"])
def test_routes_can_be_mounted_twice_deep(recorder: Recorder, path: str) -> None:
    client = make_client(recorder)
    inner = Mount("/inner", routes=stepserve.starlette.routes(client, [answering_async(client)], path=path))
    app = Starlette(routes=[Mount("/outer", routes=[inner])])
    with servers.uvicorn(app) as port:
        send = Sender(port)
        answered = App(send, "/outer/inner" + path).call("answer")
        send("PUT", "/outer/inner" + path)
        above = send("GET", path)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == f"{send.origin}/outer/inner{path}"
    assert above.status == 404


def test_routes_take_the_options_of_serve(recorder: Recorder) -> None:
    client = make_client(recorder)
    routes = stepserve.starlette.routes(
        client, [answering_async(client)], enable_unauthed_sync=False, public_path="/pub"
    )
    with servers.uvicorn(Starlette(routes=routes)) as port:
        send = Sender(port)
        unsigned, signed = send("PUT", PATH), App(send).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == send.origin + "/pub"


def test_the_route_has_a_name(recorder: Recorder) -> None:
    client = make_client(recorder)
    app = Starlette()
    stepserve.starlette.serve(app, client, [answering_async(client)])

    assert app.url_path_for("stepserve_shop") == PATH


def test_middleware_is_given_the_request_of_starlette(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = Starlette()
    stepserve.starlette.serve(app, client, [answering_async(client)])
    with servers.uvicorn(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert type(raw) is Request
    assert raw.url.path == PATH
    assert raw.app is app


def test_fastapi_has_its_official_name_too() -> None:
    names = ("FRAMEWORK", "router", "serve")

    assert [getattr(stepserve.fast_api, name) for name in names] == [getattr(stepserve.fastapi, name) for name in names]
    assert stepserve.fast_api.FRAMEWORK == "fast_api"
