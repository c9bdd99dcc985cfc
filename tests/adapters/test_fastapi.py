"""What is special to FastAPI: routers, mounted apps, root paths, the OpenAPI schema, its loop."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import fastapi
import pytest
from starlette.routing import Mount

import stepserve.fastapi
from stepserve import Context, ContextSync, Inngest, Middleware
from stepserve.asgi import Receive, Scope, Send
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import TRIGGER, answering_async
from tests.frameworks import servers

STARLETTE = tuple(int(part) for part in importlib.metadata.version("starlette").split(".")[:2])


@contextmanager
def _served(app: Any) -> Generator[Sender, None, None]:
    with servers.uvicorn(app) as port:
        yield Sender(port)


@pytest.mark.parametrize(
    ("prefix", "path", "served"),
    [
        ("", "/api/inngest", "/api/inngest"),
        ("/internal", "/api/inngest", "/internal/api/inngest"),
        ("/internal", "/jobs", "/internal/jobs"),
    ],
)
@pytest.mark.parametrize("include_in_schema", [True, False])
def test_a_router_serves_below_its_prefix(
    client: Inngest, recorder: Recorder, prefix: str, path: str, served: str, include_in_schema: bool
) -> None:
    app = fastapi.FastAPI()
    router = stepserve.fastapi.router(
        client, [answering_async(client, 42)], path=path, include_in_schema=include_in_schema
    )
    app.include_router(router, prefix=prefix)
    with _served(app) as send:
        answered = App(send, served).call("answer")
        send("PUT", served)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == send.origin + served


def test_a_router_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = fastapi.FastAPI()
    made = stepserve.fastapi.router(
        client, [answering_async(client, 1)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
    )
    app.include_router(made)
    with _served(app) as send:
        unsigned, signed = send("PUT", PATH), App(send).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@pytest.mark.parametrize("mount", ["/sub", "/api", "/a"])
def test_a_mounted_app_reports_the_path_it_is_mounted_at(client: Inngest, recorder: Recorder, mount: str) -> None:
    inner = fastapi.FastAPI()
    stepserve.fastapi.serve(inner, client, [answering_async(client, 1)])
    app = fastapi.FastAPI(routes=[Mount(mount, inner)])
    with _served(app) as send:
        answered = App(send, mount + PATH).call("answer")
        send("PUT", mount + PATH)

    assert answered.json() == 1
    assert recorder.requests[0].json()["url"] == send.origin + mount + PATH


@pytest.mark.parametrize(
    ("root_path", "in_path"), [("/a/proxy", True), ("/a/proxy", False), ("/ap", True), ("/ap", False), ("/a/", False)]
)
def test_a_path_that_a_proxy_cuts_off_is_reported(
    client: Inngest, recorder: Recorder, root_path: str, in_path: bool
) -> None:
    if in_path and STARLETTE < (0, 35):
        pytest.skip("before version 0.35, Starlette does not find routes of paths that begin with their root path")
    app = fastapi.FastAPI()
    stepserve.fastapi.serve(app, client, [answering_async(client, 1)])

    async def with_root_path(scope: Scope, receive: Receive, send: Send) -> None:
        # Newer servers put the root path into the path too, older ones do not.
        path = root_path.rstrip("/") + scope["path"] if in_path and scope["type"] == "http" else scope.get("path")
        await app({**scope, "root_path": root_path, "path": path}, receive, send)

    with _served(with_root_path) as send:
        answered = App(send).call("answer")
        send("PUT", PATH)

    assert answered.json() == 1
    assert recorder.requests[0].json()["url"] == send.origin + root_path.rstrip("/") + PATH


def test_the_schema_is_clean_by_default(client: Inngest) -> None:
    served, routed = fastapi.FastAPI(), fastapi.FastAPI()
    stepserve.fastapi.serve(served, client, [answering_async(client, 1)])
    routed.include_router(stepserve.fastapi.router(client, [answering_async(client, 1)]))

    assert served.openapi()["paths"] == {}
    assert routed.openapi()["paths"] == {}


def test_the_schema_names_the_route_if_asked(client: Inngest) -> None:
    served, routed = fastapi.FastAPI(), fastapi.FastAPI()
    stepserve.fastapi.serve(served, client, [answering_async(client, 1)], include_in_schema=True)
    router = stepserve.fastapi.router(client, [answering_async(client, 1)], include_in_schema=True)
    routed.include_router(router, prefix="/internal")

    operations = {method: operation["operationId"] for method, operation in served.openapi()["paths"][PATH].items()}

    assert operations == {"get": "stepserve_shop_get", "post": "stepserve_shop_post", "put": "stepserve_shop_put"}
    assert set(routed.openapi()["paths"]) == {"/internal" + PATH}


def test_a_route_in_the_schema_serves_all_methods(client: Inngest, recorder: Recorder) -> None:
    app = fastapi.FastAPI()
    stepserve.fastapi.serve(app, client, [answering_async(client, 1)], include_in_schema=True)
    with _served(app) as send:
        served = App(send)

        assert served.call("answer").json() == 1
        assert served.request("GET").status == 200
        assert served.request("PUT").status == 200
        assert send("GET", PATH).status == 401


def test_two_apps_can_be_served_by_one_fastapi_app(recorder: Recorder) -> None:
    app = fastapi.FastAPI()
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    for schema in (True, False):
        stepserve.fastapi.serve(
            app, first, [answering_async(first, 1)], serve_path=f"/1/{schema}", include_in_schema=schema
        )
        stepserve.fastapi.serve(
            app, second, [answering_async(second, 2)], serve_path=f"/2/{schema}", include_in_schema=schema
        )
    with _served(app) as send:
        for schema in (True, False):
            answered = App(send, f"/1/{schema}").call("answer")
            query = "?fnId=billing%20(eu)-answer&stepId=step"
            other = App(send, f"/2/{schema}").request("POST", call_body(), query=query)

            assert (answered.json(), other.json()) == (1, 2)
    assert list(app.openapi()["paths"]) == ["/1/True", "/2/True"]


def test_async_functions_run_on_the_loop_of_the_server(client: Inngest) -> None:
    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> int:
        return id(asyncio.get_running_loop())

    loops: list[int] = []

    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncGenerator[None, None]:
        loops.append(id(asyncio.get_running_loop()))
        yield

    app = fastapi.FastAPI(lifespan=lifespan)
    stepserve.fastapi.serve(app, client, [where])
    with _served(app) as send:
        assert App(send).call("where").json() == loops[0]


def test_dependencies_of_other_routes_are_untouched(client: Inngest) -> None:
    def refuse() -> None:
        raise fastapi.HTTPException(403)

    app = fastapi.FastAPI(dependencies=[fastapi.Depends(refuse)])
    stepserve.fastapi.serve(app, client, [answering_async(client, 1)])

    @app.get("/")
    def index() -> str:
        return "open"

    assert index() == "open"
    with _served(app) as send:
        assert send("GET", "/").status == 403
        assert App(send).call("answer").json() == 1


def test_middleware_is_given_the_request(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])

    @client.create_function(fn_id="sync", trigger=TRIGGER)
    def sync(ctx: ContextSync) -> None:
        return

    app = fastapi.FastAPI()
    stepserve.fastapi.serve(app, client, [answering_async(client, 1), sync])
    stepserve.fastapi.serve(app, client, [answering_async(client, 1)], serve_path="/schema", include_in_schema=True)
    with _served(app) as send:
        App(send).call("answer")
        App(send).call("sync")
        App(send, "/schema").call("answer")

    assert [type(raw) for raw in seen] == [fastapi.Request] * 3
    assert [raw.url.path for raw in seen if isinstance(raw, fastapi.Request)] == [PATH, PATH, "/schema"]
