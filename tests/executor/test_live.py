"""The live feed: what changes, as server-sent events that can be resumed; and the figures of the overview."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.live import MOST_KEPT, LiveFeed
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.store import Store
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, invoke, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio
Steps = Generator[Any, Any, Any]


def worker(call: Call) -> Steps:
    number = yield run("read", call.event["data"].get("n"))
    if number == 3:
        raise RaisedError("three is bad", no_retry=True)
    return number


def napper(_: Call) -> Steps:
    yield sleep("nap", "1h")


def parent(_: Call) -> Steps:
    return (yield invoke("child", "app-worker", {"n": 1}))


FUNCTIONS = (
    Fn("worker", worker, triggers=[{"event": "test/n"}]),
    Fn("napper", napper, triggers=[{"event": "test/nap"}]),
    Fn("parent", parent, triggers=[{"event": "test/parent"}]),
    Fn("nightly", worker, triggers=[{"cron": "TZ=Europe/Berlin 30 3 * * *"}]),
)


@pytest.fixture
async def feed() -> AsyncGenerator[LiveFeed, None]:
    """A feed over an empty store."""
    store = Store()
    opened = LiveFeed(store)
    yield opened
    await opened.close()
    store.close()


@asynccontextmanager
async def following(system: System, **headers: str) -> AsyncGenerator[AsyncGenerator[tuple[str, str, Any], None], None]:
    """Follow the feed; yield (event, id, data) of its messages."""

    async def messages(response: httpx.Response) -> AsyncGenerator[tuple[str, str, Any], None]:
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], fields["id"], json.loads(fields["data"])
                fields = {}

    async with system.http.stream("GET", "/v1/live", headers=headers, timeout=20) as response:
        assert 200 == response.status_code

        yield messages(response)


async def named(messages: AsyncGenerator[tuple[str, str, Any], None], run_id: str) -> str:
    """Return the id of the first message that names a run."""
    async for _, message_id, data in messages:
        if run_id in data.get("runs", []):
            return message_id
    raise AssertionError("the stream ended")


async def test_changes_are_told_as_they_happen_and_resumed_where_one_was(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        async with following(system) as messages:
            first = await anext(messages)
            event_id = await system.send("test/n", {"n": 1})
            run_id = (await system.run_of(event_id))["run_id"]
            seen = await named(messages, run_id)
        other_id = (await system.run_of(await system.send("test/n", {"n": 2})))["run_id"]
        async with following(system, **{"last-event-id": seen}) as messages:
            await named(messages, other_id)
        async with following(system, **{"last-event-id": "another-5"}) as messages:
            unknown = await anext(messages)

    assert "hello" == first[0]
    assert "reset" == unknown[0]


async def test_memory_stores_tell_too(start: StartSystem) -> None:
    async with start(*FUNCTIONS, database=None) as system, following(system) as messages:
        await anext(messages)
        run_id = (await system.run_of(await system.send("test/n", {"n": 1})))["run_id"]
        await named(messages, run_id)

        assert run_id


@pytest.mark.parametrize(
    "last_id", ["", "-", "x-1", "{process}-", "{process}-9", "{process}-²", "{process}-99999999999999999999"]
)
async def test_ids_that_are_not_known_lead_to_a_fresh_look(feed: LiveFeed, last_id: str) -> None:
    _, (hello,) = feed.follow(None)
    process = hello.decode().split("id: ")[1].split("-")[0]
    _, (answer,) = feed.follow(last_id.format(process=process))

    assert b"event: reset" in answer


async def test_who_was_away_too_long_looks_anew(feed: LiveFeed) -> None:
    _, (hello,) = feed.follow(None)
    start_id = hello.decode().split("\n")[0].removeprefix("id: ")
    for number in range(MOST_KEPT):
        feed._changes.add(Changes(runs={str(number)}))
        feed._publish()
    _, all_of_them = feed.follow(start_id)
    feed._publish()
    _, (late,) = feed.follow(start_id)

    assert MOST_KEPT == len(all_of_them)
    assert b"event: reset" in late


async def test_many_runs_are_one_message_that_says_so(feed: LiveFeed) -> None:
    subscription, _ = feed.follow(None)
    feed._changes.add(Changes(runs={f"{number:04}" for number in range(700)}, events=True))
    feed._publish()
    message = await subscription.take(1)

    assert message is not None
    data = json.loads(message.split(b"data: ")[1])
    assert (500, True, True, False) == (len(data["runs"]), data["moreRuns"], data["events"], data["apps"])


async def test_the_overview_counts_what_ended_what_failed_and_what_waits(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(*FUNCTIONS, clock=clock) as system:
        for number in (1, 2, 3):
            await system.send("test/n", {"n": number})
        await system.send("test/nap")
        await system.idle()
        figures = await system.get("/v1/overview")
        await system.advance(7200)
        later = await system.get("/v1/overview")
        refused = await system.http.get("/v1/overview", params={"minutes": "0"})
    last = figures["throughput"][-1]

    assert (60, 4, 2, 1) == (len(figures["throughput"]), last["queued"], last["completed"], last["failed"])
    assert {"queued": 0, "running": 1} == figures["active"]
    assert 2 == figures["queue"]["scheduled"]  # the nap, and the next night
    assert [("app-worker", 1)] == [(one["function"], one["failed"]) for one in figures["failing"]]
    assert figures["firstWaiting"] is None
    assert [] == later["failing"]
    assert 400 == refused.status_code


async def test_functions_say_when_they_run_next(start: StartSystem) -> None:
    clock = VirtualClock(1_700_000_000.0)
    async with start(*FUNCTIONS, clock=clock) as system:
        found = {one["slug"]: one for one in await system.get("/v2/functions")}

    expected = ["2023-11-15T02:30:00.000Z", "2023-11-16T02:30:00.000Z", "2023-11-17T02:30:00.000Z"]
    assert [{"cron": "TZ=Europe/Berlin 30 3 * * *", "next": expected}] == found["app-nightly"]["schedules"]
    assert [] == found["app-worker"]["schedules"]


async def test_invoking_steps_say_which_run_they_started(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        run_id = (await system.run_of(await system.send("test/parent")))["run_id"]
        trace = await system.trace(run_id)
        child = await system.get(f"/v1/runs/{trace['steps'][0]['invoked_run_id']}")

    assert ("Completed", 1) == (child["status"], child["output"])


async def test_an_event_is_sent_again_exactly(start: StartSystem) -> None:
    """As a new event: its id must not keep it from starting functions. Internal ones are not for sending."""
    async with start(*FUNCTIONS) as system:
        body = b'{"name": "test/n", "id": "mine", "ts": 1700000000000, "data": {"n": 12345678901234567890}}'
        sent = (await system.http.post("/e/key", content=body, headers={"content-type": "application/json"})).json()
        first = sent["ids"][0]
        again = await system.http.post(f"/v2/events/{first}/resend")
        second = again.json()["data"]["eventId"]
        outcomes = [await system.outcome(one) for one in (first, second)]
        (finished, *_) = await system.events("inngest/function.finished")
        refused = await system.http.post(f"/v2/events/{finished['internal_id']}/resend")
        unknown = await system.http.post("/v2/events/01ARZ3NDEKTSV4RRFFQ69G5FAV/resend")

    assert outcomes[0] == outcomes[1]
    assert second != first
    assert (400, 404) == (refused.status_code, unknown.status_code)


async def test_apps_are_added_and_synced_and_say_what_to_do_about_an_error(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        added = await system.http.post("/v2/apps", json={"url": system.app.url})
        synced = await system.http.post("/v2/apps/app/sync")
        missing = (await system.http.post("/v2/apps", json={"url": "127.0.0.1:1/api/inngest"})).json()["data"]
        refused = await system.http.post("/v2/apps", json={"url": 5})

    assert (200, None) == (added.status_code, added.json()["data"]["error"])
    assert ("app", None) == (synced.json()["data"]["name"], synced.json()["data"]["remedy"])
    assert ("unreachable", "does the app run, and does it listen at this address?") == (
        missing["error"],
        missing["remedy"],
    )
    assert 400 == refused.status_code
