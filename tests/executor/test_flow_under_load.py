"""Each kind of flow control while many requests bring events at once: nothing lost, nothing left behind."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
REQUESTS, EVENTS_EACH, USERS = 12, 10, 3
ALL = REQUESTS * EVENTS_EACH
EACH = ALL // USERS
USER = "event.data.user"


def fine(_: Call) -> Steps:
    yield run("step", 1)
    return "fine"


def nap(_: Call) -> Steps:
    yield sleep("nap", "1h")
    return "rested"


async def send_all(system: System) -> list[str]:
    """Send the events of all users, several requests at a time; return their ids."""

    async def send(number: int) -> list[str]:
        data = [{"user": (number * EVENTS_EACH + index) % USERS} for index in range(EVENTS_EACH)]
        answer = await system.http.post("/e/key", json=[{"name": "test/x", "data": one} for one in data])

        assert 200 == answer.status_code, answer.text
        found: list[str] = answer.json()["ids"]
        return found

    return [one for some in await asyncio.gather(*(send(number) for number in range(REQUESTS))) for one in some]


async def statuses(system: System) -> Counter[str]:
    """Return how many runs there are of each status."""
    connection = sqlite3.connect(str(system.database))
    found = Counter(dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status")))
    connection.close()
    return found


def left(system: System) -> dict[str, int]:
    """Return what is held or queued, by table."""
    connection = sqlite3.connect(str(system.database))
    tables = ("queue", "slots", "singletons", "pauses", "pending")
    counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    connection.close()
    return {table: count for table, count in counts.items() if count}


KINDS: list[Any] = [
    pytest.param({"concurrency": [{"limit": 2, "key": USER}, {"limit": 4}]}, {"Completed": ALL}, id="two limits"),
    pytest.param({"concurrency": {"fn": [{"limit": 1, "key": USER}]}}, {"Completed": ALL}, id="whole runs"),
    pytest.param({"throttle": {"limit": 5, "period": "1m", "burst": 1}}, {"Completed": ALL}, id="throttle"),
    # A tenth of the limit and one more pass at once.
    pytest.param({"rateLimit": {"limit": 20, "period": "24h", "key": USER}}, {"Completed": 3 * USERS}, id="rate limit"),
    pytest.param({"idempotency": USER}, {"Completed": USERS}, id="idempotency"),
    pytest.param({"debounce": {"period": "1m", "key": USER}}, {"Completed": USERS}, id="debounce"),
    pytest.param({"batchEvents": {"maxSize": 7, "timeout": "1m", "key": USER}}, {"Completed": USERS * 6}, id="batches"),
    pytest.param({"priority": {"run": "int(event.data.user) * 10"}}, {"Completed": ALL}, id="priority"),
]


@pytest.mark.parametrize(("options", "expected"), KINDS)
async def test_so_many_runs_come_of_many_events_at_once(
    start: StartSystem, options: dict[str, Any], expected: dict[str, int]
) -> None:
    async with start(Fn("f", fine, [{"event": "test/x"}], options=options), clock=VirtualClock()) as system:
        ids = await send_all(system)
        for _ in range(30):
            await system.idle()
            await system.advance(60)

        assert expected == await statuses(system)
        assert (ALL, {}) == (len(set(ids)), left(system))
        if "batchEvents" in options:
            started = [event["id"] for call in system.app.calls if not call.memos for event in call.body["events"]]
            assert sorted(ids) == sorted(started)


@pytest.mark.not_under("duplicate_delivery", reason="counts the calls that are under way at once, as the app sees them")
@pytest.mark.parametrize("mode", ["skip", "cancel"])
async def test_a_singleton_has_one_run_at_a_time(start: StartSystem, mode: str) -> None:
    options = {"singleton": {"mode": mode, "key": USER}}
    under_way: Counter[int] = Counter()
    most = 0

    async def work(call: Call) -> Response:
        nonlocal most
        user = call.event["data"]["user"]
        under_way[user] += 1
        most = max(most, under_way[user])
        await asyncio.sleep(0.005)
        under_way[user] -= 1
        return reply(200, user)

    async with start(Fn("f", fine, [{"event": "test/x"}], options=options), clock=VirtualClock()) as system:
        system.app.replies["f"] = work
        await send_all(system)
        await system.idle()
        found = await statuses(system)

        assert {} == left(system)
    other = "Skipped" if mode == "skip" else "Cancelled"
    assert ALL == found["Completed"] + found[other]
    assert found["Completed"] >= USERS
    # The call of a run that is cancelled goes on beside that of the next one.
    assert mode == "cancel" or most == 1


ENDINGS: list[Any] = [
    pytest.param({"timeouts": {"finish": "1m"}}, None, {"Cancelled": ALL}, id="finish timeout"),
    pytest.param(
        {"timeouts": {"start": "1m"}, "concurrency": {"fn": [{"limit": 1}]}},
        None,
        {"Completed": 1, "Cancelled": ALL - 1},
        id="start timeout",
    ),
    pytest.param(
        {"cancel": [{"event": "test/stop", "if": "async.data.user == event.data.user"}]},
        {"name": "test/stop", "data": {"user": 1}},
        {"Completed": ALL - EACH, "Cancelled": EACH},
        id="cancellation",
    ),
]


@pytest.mark.parametrize(("options", "event", "expected"), ENDINGS)
async def test_many_runs_end_before_they_have_finished(
    start: StartSystem, options: dict[str, Any], event: dict[str, Any] | None, expected: dict[str, int]
) -> None:
    async with start(Fn("f", nap, [{"event": "test/x"}], options=options), clock=VirtualClock()) as system:
        await send_all(system)
        await system.idle()
        if event is not None:
            await system.http.post("/e/key", json=event)
        for seconds in (61, 3600):
            await system.advance(seconds)

        assert expected == await statuses(system)
        assert {} == left(system)


async def test_a_bulk_cancellation_and_a_pause_while_events_come(start: StartSystem) -> None:
    async with start(Fn("f", nap, [{"event": "test/x"}]), clock=VirtualClock()) as system:
        await send_all(system)
        await system.idle()
        await system.advance(60)
        body = {"app_id": "app", "function_id": "f", "started_before": "2099-01-01T00:00:00Z"}
        before = (await system.http.get("/v2/health")).json()["metadata"]["fetchedAt"]
        await system.http.post("/v1/functions/app-f/pause")
        answers = await asyncio.gather(
            system.http.post("/v1/cancellations", json={**body, "started_before": before, "if": f"{USER} == 0"}),
            send_all(system),
        )
        await system.idle()
        paused = await statuses(system)
        await system.http.post("/v1/functions/app-f/resume")
        await system.idle()
        await system.advance(3600)

        assert 200 == answers[0].status_code
        assert {"Cancelled": EACH, "Running": ALL - EACH, "Scheduled": ALL} == paused
        assert {"Cancelled": EACH, "Completed": 2 * ALL - EACH} == await statuses(system)
        assert {} == left(system)
