"""Durable endpoints where a client, the app and the server do not wait for one another (protocol.md 13.3)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import django
import django.http
import django.urls
import flask
import httpx
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import stepserve
from stepserve import Inngest, Step, StepSync, stream
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.api.http import HttpError
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.endpoints import TAKEOVER
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.adapters.endpoint_apps import served_as
from tests.adapters.listening import Listener

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"

LATER = 3000.0
"""Seconds after which a sleep of ten minutes is over by whichever clock, and a token for an answer still good."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


class Work:
    """What the endpoints do: `executed` has the steps, in order. A step in `held` waits until it is let go, once."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.held: set[str] = set()
        self.reached, self.let_go = threading.Event(), threading.Event()

    def step(self, name: str) -> str:
        self.executed.append(name)
        if name in self.held:
            self.held.discard(name)
            self.reached.set()
            assert self.let_go.wait(20)
        return name

    async def step_async(self, name: str) -> str:
        return await asyncio.to_thread(self.step, name)

    def run(self, step: StepSync, mode: str) -> list[str]:
        if mode == "at-once":
            raise ValueError("no")
        done = [step.run("first", self.step, "first")]
        if mode in ("sleep", "sleep-error"):
            step.sleep("nap", "10m")
        if mode.endswith("error"):
            raise ValueError("no")
        return [*done, step.run("second", self.step, "second"), step.run("third", self.step, "third")]

    async def run_async(self, step: Step, mode: str) -> list[str]:
        done = [await step.run("first", self.step_async, "first")]
        if mode == "parallel":
            done += await asyncio.gather(*(step.run(name, self.step_async, name) for name in ("a", "b")))
        return [
            *done,
            await step.run("second", self.step_async, "second"),
            await step.run("third", self.step_async, "third"),
        ]


class Telling(Work):
    """Work of which clients hear which step is executed, and how often."""

    def step(self, name: str) -> str:
        stream.push_sync(f"{name} {self.executed.count(name) + 1}")
        return super().step(name)


def flask_app(client: Inngest, work: Work) -> tuple[str, Any]:
    app = flask.Flask("races")

    @app.route("/<mode>", methods=["POST", "PUT"])
    @stepserve.endpoint(client, framework="flask", retries=0)
    def durable(mode: str, step: StepSync) -> Any:
        return work.run(step, mode)

    return "wsgi", app


def starlette_app(client: Inngest, work: Work) -> tuple[str, Any]:
    @stepserve.endpoint(client, framework="starlette")
    async def durable(request: Request, step: Step) -> Response:
        return JSONResponse(await work.run_async(step, request.path_params["mode"]))

    return "asgi", Starlette(routes=[Route("/{mode}", durable, methods=["POST"])])


def django_app(client: Inngest, work: Work) -> tuple[str, Any]:
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[])
        django.setup()

    @stepserve.endpoint(client, framework="django")
    async def durable(request: django.http.HttpRequest, mode: str, step: Step) -> django.http.HttpResponse:
        del request
        return django.http.JsonResponse(await work.run_async(step, mode), safe=False)

    module: Any = ModuleType("endpoint_race_urls")
    module.urlpatterns = [django.urls.path("<mode>", durable)]
    settings.ROOT_URLCONF = module
    django.urls.clear_url_caches()
    return "asgi", ASGIHandler()


Make = Callable[[Inngest, Work], tuple[str, Any]]


class Running:
    """An app and a server with a clock that tests move."""

    def __init__(self, work: Work, app: httpx.AsyncClient, server: RunningServer, clock: VirtualClock) -> None:
        self.work, self.app, self.server, self.clock = work, app, server, clock
        headers = {"authorization": f"Bearer {KEY}"}
        self.api = httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20)

    async def advance(self, seconds: float) -> None:
        """Move the clock and wait until what became due is done."""
        self.clock.advance(seconds)
        self.server.executor.loop.wake()
        await self.server.executor.loop.idle()

    async def begin(self, mode: str) -> asyncio.Task[httpx.Response]:
        """Send a request; return it when the route has reached the step that is held."""
        task = asyncio.create_task(self.app.post(f"/{mode}"))
        assert await asyncio.to_thread(self.work.reached.wait, 20)
        return task

    async def runs(self) -> list[tuple[str, str]]:
        """Return ids and statuses of all runs."""
        query = '{ runs(filter: {from: "2020-01-01T00:00:00Z"}, orderBy: []) { edges { node { id status } } } }'
        answer = (await self.api.post("/v0/gql", json={"query": query})).json()
        return [(edge["node"]["id"], edge["node"]["status"]) for edge in answer["data"]["runs"]["edges"]]

    async def statuses(self) -> list[str]:
        return [status for _, status in await self.runs()]

    async def ended(self) -> None:
        """Wait until the only run has ended well."""
        while await self.statuses() != ["COMPLETED"]:
            await asyncio.sleep(0.02)

    async def followed(self) -> None:
        """Wait until a client listens to the server."""
        while not self.server.executor.realtime.subscribers:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(make: Make, work: Work | None = None, **keys: Any) -> AsyncGenerator[Running, None]:
    """Run an app and a server; without keys, because the app checks signatures by a clock that nobody moves."""
    clock, work = VirtualClock(time.time()), work or Work()
    async with serving(ServerConfig(port=0, poll=False, retry_interval=0.0, **keys), clock=clock) as server:
        key = keys.get("signing_key")
        client = Inngest(app_id="races", is_production=bool(keys), api_base_url=server.url, signing_key=key)
        async with (
            served_as(*make(client, work)) as origin,
            httpx.AsyncClient(base_url=origin, timeout=20) as http,
        ):
            system = Running(work, http, server, clock)
            async with system.api:
                yield system
                work.let_go.set()


both_colours = pytest.mark.parametrize("make", [flask_app, starlette_app])


@both_colours
async def test_a_run_that_was_taken_over_is_left_and_its_client_sent_to_the_answer(make: Make) -> None:
    async with running(make) as system:
        system.work.held.add("second")
        task = await system.begin("plain")
        await system.advance(TAKEOVER + 1)
        before = list(system.work.executed)
        system.work.let_go.set()
        first = await task
        answer = await system.api.get(first.headers["location"])

        assert ["COMPLETED"] == await system.statuses()

    assert (302, 200, ["first", "second", "third"]) == (first.status_code, answer.status_code, answer.json())
    assert ["first", "second", "second", "third"] == before == system.work.executed


@pytest.mark.parametrize("make", [flask_app, starlette_app, django_app])
async def test_a_run_whose_client_went_away_ends(make: Make) -> None:
    async with running(make) as system:
        system.work.held.add("second")
        task = await system.begin("plain")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        system.work.let_go.set()
        await system.advance(TAKEOVER + 1)  # for servers that stop what nobody waits for
        await asyncio.wait_for(system.ended(), 20)

    assert ("first", 1) == (system.work.executed[0], system.work.executed.count("first"))


async def test_who_asks_for_the_answer_before_it_is_there_waits_for_it() -> None:
    async with running(flask_app) as system:
        first = await system.app.post("/sleep")
        waiting = asyncio.create_task(system.api.get(first.headers["location"]))
        await system.server.executor.loop.idle()
        was_early = not waiting.done()
        await system.advance(LATER)
        answer = await waiting

    assert (True, 200, ["first", "second", "third"]) == (was_early, answer.status_code, answer.json())


async def test_who_puts_something_is_told_to_get_the_answer() -> None:
    async with running(flask_app) as system:
        first = await system.app.put("/sleep")
        await system.advance(LATER)
        answer = await system.api.get(first.headers["location"])

    assert (303, ["first", "second", "third"]) == (first.status_code, answer.json())


async def test_the_answer_of_a_run_is_for_those_who_have_its_token() -> None:
    async with running(flask_app) as system:
        one, other = [await system.app.post("/sleep") for _ in range(2)]
        url, _, token = one.headers["location"].partition("?token=")
        foreign = other.headers["location"].partition("?token=")[2]
        statuses = [
            (await system.api.get(f"{url}?token={given}", headers={"authorization": ""})).status_code
            for given in (foreign, token[:-3], "")
        ]

    assert [401, 401, 401] == statuses


async def test_a_cancelled_run_says_so_to_who_asks_for_its_answer() -> None:
    async with running(flask_app) as system:
        first = await system.app.post("/sleep")
        ((run_id, _),) = await system.runs()
        await system.api.delete(f"/v1/runs/{run_id}")
        answer = await system.api.get(first.headers["location"])
        await system.advance(LATER)

    assert (410, "the run was cancelled: it has no result") == (answer.status_code, answer.json()["error"])
    assert ["first"] == system.work.executed


@both_colours
async def test_a_run_that_is_cancelled_while_its_client_waits_stops_after_the_step(make: Make) -> None:
    async with running(make) as system:
        system.work.held.add("second")
        task = await system.begin("plain")
        ((run_id, _),) = await system.runs()
        await system.api.delete(f"/v1/runs/{run_id}")
        system.work.let_go.set()
        first = await task
        answer = await system.api.get(first.headers["location"])

    assert (302, 410) == (first.status_code, answer.status_code)
    assert ["first", "second"] == system.work.executed


@pytest.mark.parametrize(("mode", "statuses"), [("at-once", []), ("error", ["FAILED"])])
async def test_an_error_while_the_client_waits_is_the_frameworks_to_answer(mode: str, statuses: list[str]) -> None:
    async with running(flask_app) as system:
        answer = await system.app.post(f"/{mode}")

        assert (500, True) == (answer.status_code, "Internal Server Error" in answer.text)
        assert statuses == await system.statuses()


async def test_an_error_after_a_redirect_is_the_answer_when_no_attempt_is_left() -> None:
    async with running(flask_app) as system:
        first = await system.app.post("/sleep-error")
        await system.advance(LATER)
        answer = await system.api.get(first.headers["location"])

        assert ["FAILED"] == await system.statuses()

    assert (500, "no") == (answer.status_code, answer.json()["message"])


async def test_steps_side_by_side_are_each_a_request_of_the_server() -> None:
    async with running(starlette_app) as system:
        first = await system.app.post("/parallel")
        answer = await system.api.get(first.headers["location"])

    assert (302, ["first", "a", "b", "second", "third"]) == (first.status_code, answer.json())
    assert ["a", "b", "first", "second", "third"] == sorted(system.work.executed)


@pytest.mark.parametrize(("signature", "status", "runs"), [(None, 302, 2), ("t=1&s=00", 401, 1), ("no", 401, 1)])
async def test_the_id_of_a_run_is_not_believed_without_a_signature(
    signature: str | None, status: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong one is refused, and begins no run either: the server would call that one too, with the same key."""
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", "http://127.0.0.1:9")
    async with running(flask_app, kind="cloud", signing_key=KEY, event_keys=["k"]) as system:
        first = await system.app.post("/sleep")
        ((run_id, _),) = await system.runs()
        headers = {"x-run-id": run_id, **({"x-inngest-signature": signature} if signature else {})}
        answer = await system.app.post("/sleep", headers=headers)

        assert runs == len(await system.runs())

    assert (status, True) == (answer.status_code, answer.headers.get("location") != first.headers["location"])


@both_colours
async def test_who_listens_to_a_run_that_was_taken_over_hears_how_it_went_on(make: Make) -> None:
    async with running(make, Telling()) as system:
        system.work.held.add("second")
        client = Listener()
        listening = asyncio.create_task(client.listen(system.app, "POST", "/plain"))
        assert await asyncio.to_thread(system.work.reached.wait, 20)
        await system.advance(TAKEOVER + 1)
        system.work.let_go.set()
        await asyncio.wait_for(listening, 20)

    assert (1, ["first 1", "second 2", "third 1"]) == (client.redirects, client.told)
    assert (("succeeded", 200), ["first", "second", "second", "third"]) == (client.answer[:2], system.work.executed)


async def test_steps_side_by_side_are_heard_once_each() -> None:
    async with running(starlette_app, Telling()) as system:
        client = Listener()
        await asyncio.wait_for(client.listen(system.app, "POST", "/parallel"), 20)

    assert ["a 1", "b 1", "first 1", "second 1", "third 1"] == sorted(client.told)
    assert ["a", "b", "first", "second", "third"] == sorted(system.work.executed)


async def test_who_listens_hears_that_a_run_was_cancelled() -> None:
    async with running(flask_app, Telling()) as system:
        client = Listener()
        listening = asyncio.create_task(client.listen(system.app, "POST", "/sleep"))
        await asyncio.wait_for(system.followed(), 20)
        ((run_id, _),) = await system.runs()
        await system.api.delete(f"/v1/runs/{run_id}")
        await asyncio.wait_for(listening, 20)

    assert (["first 1"], ("failed", 410)) == (client.told, client.answer[:2])


async def test_who_listens_hears_that_a_run_failed_after_a_redirect() -> None:
    async with running(flask_app, Telling()) as system:
        client = Listener()
        listening = asyncio.create_task(client.listen(system.app, "POST", "/sleep-error"))
        await asyncio.wait_for(system.followed(), 20)
        await system.advance(LATER)
        await asyncio.wait_for(listening, 20)

        assert ["FAILED"] == await system.statuses()

    assert (["first 1"], ("failed", 500)) == (client.told, client.answer[:2])


async def test_a_server_that_passes_nothing_on_stops_no_run(caplog: pytest.LogCaptureFixture) -> None:
    async with running(flask_app, Telling()) as system:
        first = await system.app.post("/sleep", headers={"accept": "text/event-stream"})
        routes = system.server.executor.endpoint_streams
        routes.publish = _fail  # type: ignore[method-assign]
        await system.advance(LATER)
        await asyncio.wait_for(system.ended(), 20)

    assert (200, ["first", "second", "third"]) == (first.status_code, system.work.executed)
    assert 3 == caplog.text.count("does not reach its client")  # once a call


def _fail(run_id: str, frames: bytes) -> None:
    raise HttpError(503, f"{run_id}: no room for {len(frames)} bytes")


async def test_the_host_that_a_client_names_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get the client's own body with a signature of the server, which opens the app to whoever has that."""
    async with running(flask_app) as system:
        monkeypatch.setenv("INNGEST_SERVE_ORIGIN", str(system.app.base_url))
        first = await system.app.post("/sleep", headers={"host": "127.0.0.1:9"})
        await system.advance(LATER)
        answer = await system.api.get(first.headers["location"])

    assert (200, ["first", "second", "third"]) == (answer.status_code, answer.json())


def test_in_production_an_endpoint_knows_where_its_app_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SERVE_ORIGIN", raising=False)
    client = Inngest(app_id="races", is_production=True, signing_key=KEY)

    with pytest.raises(ConfigurationError, match="INNGEST_SERVE_ORIGIN"):
        flask_app(client, Work())
