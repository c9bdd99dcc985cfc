"""Durable endpoints that stream, over real servers, against the real executor (protocol.md 13.3 item 5)."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import pytest

from stepserve import Step, StepSync, stream
from stepserve_core import _pipe
from stepserve_core.endpoint import LARGEST_BODY
from tests.adapters.endpoint_apps import APPS, Shop
from tests.adapters.listening import LISTENS, Listener, events_of
from tests.adapters.test_endpoints import KEY, Running, every_app, every_framework, running

pytestmark = pytest.mark.anyio

MUCH = 100
"""Pieces of 250 KB: more than servers and sockets hold."""

LEFT = [
    *[("flask", "sync"), ("fastapi", "sync"), ("starlette", "async"), ("tornado", "async")],
    *[("django", colour) for colour in ("sync", "async")],
]
"""Each way in which routes run beside their answers, and each way in which servers tell that a client went away."""

KEYS: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["k"]}


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


class Telling(Shop):
    """A shop that tells its client what it does. The step `held` waits until it is let go, and then goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()

    def begin(self, name: str, mode: str) -> bool:
        """Note that a step is executed; say whether it fails."""
        self.executed.append(name)
        return mode == "later" and name == "second" and self.executed.count(name) == 1

    def hold(self, name: str, mode: str) -> None:
        """Wait, or push more than what lies between a route and a client."""
        for _ in range(MUCH if mode == "much" and name == "first" else 0):
            stream.push_sync("x" * 250_000)
        if mode == "held" and name == "second":
            self.reached.set()
            assert self.let_go.wait(20)

    def tell_sync(self, name: str, mode: str) -> str:
        fails = self.begin(name, mode)
        pieces = stream.pipe_sync([f"{name} 1", f"{name} 2"])
        self.hold(name, mode)
        if fails:
            raise ValueError(f"no {name}")
        return " ".join(pieces)

    async def tell(self, name: str, mode: str) -> str:
        fails = self.begin(name, mode)
        pieces = await stream.pipe([f"{name} 1", f"{name} 2"])
        await asyncio.to_thread(self.hold, name, mode)
        if fails:
            raise ValueError(f"no {name}")
        return " ".join(pieces)

    def run_sync(self, step: StepSync, mode: str, body: str) -> dict[str, Any]:
        stream.push_sync({"asked": body})
        first = step.run("first", self.tell_sync, "first", mode)
        if mode == "later":
            stream.push_sync("resting")
            step.sleep("nap", 1)
        stream.push_sync("between")
        second = step.run("second", self.tell_sync, "second", mode)
        if mode == "error":
            raise ValueError("no")
        return {"steps": [first, second]}

    async def run(self, step: Step, mode: str, body: str) -> dict[str, Any]:
        await stream.push({"asked": body})
        first = await step.run("first", self.tell, "first", mode)
        if mode == "later":
            await stream.push("resting")
            await step.sleep("nap", 1)
        await stream.push("between")
        second = await step.run("second", self.tell, "second", mode)
        if mode == "error":
            raise ValueError("no")
        return {"steps": [first, second]}


ALL_TOLD = [{"asked": "body"}, "first 1", "first 2", "between", "second 1", "second 2"]
ANSWER = {"steps": ["first 1 first 2", "second 1 second 2"]}


async def listen(system: Running, mode: str) -> Listener:
    client = Listener()
    await asyncio.wait_for(client.listen(system.http, "POST", f"/checkout/{mode}", "body"), 20)
    return client


@every_app
async def test_a_client_hears_what_a_route_does_and_then_its_answer(app: tuple[str, str]) -> None:
    async with running(app, Telling()) as system:
        client = await listen(system, "plain")
        statuses = await system.statuses()

    first, outside, second = ({"hashedStepId": name} for name in ("first", None, "second"))
    assert [
        ("inngest.metadata", {"runId": client.run_id}),
        ("inngest.stream", {"data": {"asked": "body"}}),
        ("inngest.stream", {"data": "first 1", **first}),
        ("inngest.stream", {"data": "first 2", **first}),
        ("inngest.commit", outside),
        ("inngest.commit", first),
        ("inngest.redirect_info", {"runId": client.run_id, "url": client.url}),
        ("inngest.stream", {"data": "between"}),
        ("inngest.stream", {"data": "second 1", **second}),
        ("inngest.stream", {"data": "second 2", **second}),
        ("inngest.commit", outside),
        ("inngest.commit", second),
    ] == client.events[:-1]
    assert ("succeeded", 200, ANSWER) == (*client.answer[:2], json.loads(client.answer[2]))
    assert (["COMPLETED"], ["first", "second"]) == (statuses, system.shop.executed)


@every_app
async def test_a_client_follows_a_route_that_waits_and_fails_and_goes_on(app: tuple[str, str]) -> None:
    async with running(app, Telling(), **KEYS) as system:
        client = await listen(system, "later")
        statuses = await system.statuses()

    assert (1, [*ALL_TOLD[:3], "resting", *ALL_TOLD[3:]]) == (client.redirects, client.told)
    assert ("succeeded", 200, ANSWER) == (*client.answer[:2], json.loads(client.answer[2]))
    assert (["COMPLETED"], ["first", "second", "second"]) == (statuses, system.shop.executed)


@every_framework
async def test_who_does_not_listen_or_is_refused_gets_an_answer_alone(app: tuple[str, str]) -> None:
    async with running(app, Telling()) as system:
        answer = await system.post("plain")
        redirected = await system.post("later", follow_redirects=True)
        refused = await system.post("plain", "x" * (LARGEST_BODY + 1), headers=LISTENS)

    assert [(200, ANSWER)] * 2 == [(one.status_code, one.json()) for one in (answer, redirected)]
    assert (413, "application/json") == (refused.status_code, refused.headers["content-type"])


@every_framework
async def test_errors_after_the_first_byte_are_told(app: tuple[str, str]) -> None:
    async with running(app, Telling()) as system:
        missing, failed = await listen(system, "missing"), await listen(system, "error")
        statuses = await system.statuses()

    assert ("succeeded", 404) == missing.answer[:2]
    assert (("failed", 500, ""), ALL_TOLD) == (failed.answer, failed.told)
    assert ["COMPLETED", "FAILED"] == sorted(statuses)


@pytest.mark.parametrize("app", LEFT, ids="-".join)
async def test_a_route_goes_on_whose_client_went_away(app: tuple[str, str]) -> None:
    shop = Telling()
    async with running(app, shop) as system:
        async with system.http.stream("POST", "/checkout/held", content="body", headers=LISTENS) as answer:
            events = events_of(answer)
            first = [await anext(events) for _ in range(8)]
            assert await asyncio.to_thread(shop.reached.wait, 20)
        shop.let_go.set()
        statuses = await asyncio.wait_for(system.statuses(), 20)
        again = Listener()
        await again.listen(system.http, "GET", first[-2][1]["url"])

    assert {"data": "between"} == first[-1][1]
    assert (["COMPLETED"], ["first", "second"]) == (statuses, shop.executed)
    assert ("succeeded", 200, ANSWER) == (*again.answer[:2], json.loads(again.answer[2]))


@pytest.mark.parametrize("app", [("flask", "sync"), ("starlette", "async"), ("tornado", "async")], ids="-".join)
async def test_a_client_that_does_not_read_holds_up_no_run(
    app: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pipe, "PATIENCE", 0.05)
    async with running(app, Telling()) as system:
        url = system.http.base_url
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((url.host, url.port))
            head = b"POST /checkout/much HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
            client.sendall(head + b"content-type: text/plain\r\ncontent-length: 4\r\n\r\nbody")
            while "second" not in system.shop.executed:
                await asyncio.sleep(0.02)
            statuses = await asyncio.wait_for(system.statuses(), 20)

    assert (["COMPLETED"], ["first", "second"]) == (statuses, system.shop.executed)


@pytest.mark.parametrize("app", [("flask", "sync"), ("starlette", "async")], ids="-".join)
async def test_who_comes_late_or_again_hears_all_that_was_missed(app: tuple[str, str]) -> None:
    async with running(app, Telling(), **KEYS) as system:
        begun = Listener()
        async with system.http.stream("POST", "/checkout/later", content="body", headers=LISTENS) as answer:
            async for name, data in events_of(answer):
                begun.hear(name, data)
        assert ["COMPLETED"] == await system.statuses()
        heard = [Listener(), Listener()]
        for client in heard:
            await client.listen(system.http, "GET", begun.url)

    assert [["between", "second 1", "second 2"]] * 2 == [client.told for client in heard]
    assert [("succeeded", 200)] * 2 == [client.answer[:2] for client in heard]


def test_every_framework_with_endpoints_is_here() -> None:
    assert {"django", "fastapi", "flask", "starlette", "tornado"} == {framework for framework, _ in APPS}
