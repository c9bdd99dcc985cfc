"""Details of the wire: cross-origin headers, envelopes, compressed answers, events of the future."""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import SDK_HEADERS, Call, Fn

pytestmark = pytest.mark.anyio

ON_X = [{"event": "test/x"}]
PAGE = "http://localhost:3000"


def fine(_: Call) -> Generator[Any, Any, Any]:
    return "fine"
    yield


async def test_pages_of_this_machine_may_ask_across_origins(start: StartSystem) -> None:
    asked = {"access-control-request-method": "DELETE", "access-control-request-headers": "x-anything"}
    async with start() as system:
        preflight = await system.http.options("/e/key", headers={"origin": PAGE, **asked})
        answer = await system.http.get("/health", headers={"origin": PAGE})

    assert {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
        "access-control-allow-headers": "x-anything",
        "access-control-max-age": "3600",
    } == {name: value for name, value in preflight.headers.items() if name.startswith("access-control")}
    names = ("access-control-allow-origin", "access-control-expose-headers", "x-inngest-server-kind")
    assert ["*", "Link, Mcp-Session-Id", "dev"] == [answer.headers[name] for name in names]


async def test_answers_of_v1_say_when_they_were_made(start: StartSystem) -> None:
    async with start() as system:
        answer = await system.http.get("/v1/events")

    assert ["data", "metadata"] == list(answer.json())
    assert (
        datetime.timezone.utc
        == datetime.datetime.fromisoformat(answer.json()["metadata"]["fetched_at"].replace("Z", "+00:00")).tzinfo
    )


async def test_a_compressed_answer_is_read(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        headers = {**SDK_HEADERS, "content-encoding": "gzip"}
        system.app.replies["f"] = lambda _: Response(200, headers, gzip.compress(b'"unpacked"'))
        outcome = await system.outcome(await system.send("test/x"))

    assert ("Completed", "unpacked") == outcome


async def test_an_event_of_the_future_starts_its_runs_then_and_one_of_the_past_at_once(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X), clock=VirtualClock()) as system:
        now = round(system.executor.clock.now() * 1000)
        past, future = [await system.send("test/x", ts=now + shift) for shift in (-86_400_000, 60_000)]
        await system.idle()
        before = [(await system.runs(event_id))[0]["status"] for event_id in (past, future)]
        await system.advance(59)
        waiting = (await system.runs(future))[0]["status"]
        await system.advance(1)
        after = await system.outcome(future)

    assert (["Completed", "Scheduled"], "Scheduled", ("Completed", "fine")) == (before, waiting, after)


async def test_a_batch_does_not_wait_for_the_times_of_its_events(start: StartSystem) -> None:
    function = Fn("f", fine, ON_X, options={"batchEvents": {"maxSize": 2, "timeout": "1h"}})
    async with start(function, clock=VirtualClock()) as system:
        ahead = round(system.executor.clock.now() * 1000) + 60_000
        ids = [await system.send("test/x", ts=ahead) for _ in range(2)]

        assert ("Completed", "fine") == await system.outcome(ids[0])
