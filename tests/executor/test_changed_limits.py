"""An app that registers other limits: they bind every run that has not started, and every call that is to come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]
HOUR = 3600
PER_USER = {"limit": 1, "key": "event.data.user"}


def nap(call: Call) -> Steps:
    yield sleep("nap", "1h")
    return call.event["data"]["user"]


class Meter:
    """Counts the calls under way by the user of their event."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.calls = 0

    async def __call__(self, call: Call) -> Response:
        self.calls += 1
        for name in (call.event["data"]["user"], "all"):
            self._now[name] += 1
            self.most[name] = max(self.most[name], self._now[name])
        await asyncio.sleep(0.005)
        for name in (call.event["data"]["user"], "all"):
            self._now[name] -= 1
        return reply(200, "done")


async def send_all(system: System, users: str, ahead: float = 0.0) -> list[str]:
    """Send an event for each user, whose runs start `ahead` seconds from now."""
    ts = round((system.executor.clock.now() + ahead) * 1000)
    events = [{"name": "test/x", "data": {"user": user}, "ts": ts} for user in users]
    ids: list[str] = (await system.http.post("/e/key", json=events)).json()["ids"]
    await system.idle()
    return ids


async def register(system: System, options: dict[str, Any]) -> None:
    """Let the function have other options."""
    system.app.functions[0].options.clear()
    system.app.functions[0].options.update(options)
    answer = await system.http.post("/fn/register", json=system.app.registration())

    assert 200 == answer.status_code, answer.text


async def left_behind(system: System) -> int:
    """Count what calls and runs hold."""
    return await system.executor.read(lambda tables: tables.slots._execute("SELECT count(*) FROM slots").fetchone()[0])


async def statuses(system: System, ids: list[str]) -> Counter[str]:
    return Counter([(await system.runs(event_id))[0]["status"] for event_id in ids])


@pytest.mark.not_under("duplicate_delivery", reason="counts the calls that are under way at once, as the app sees them")
@pytest.mark.parametrize(
    ("before", "after", "most"),
    [
        pytest.param({}, [{"limit": 2}], {"all": 2}, id="a first one"),
        pytest.param({"concurrency": [{"limit": 5}]}, [{"limit": 5}, PER_USER], {"a": 1, "b": 1}, id="one with a key"),
        pytest.param({"concurrency": [PER_USER]}, [{"limit": 1, "key": "'same'"}], {"all": 1}, id="another key"),
        pytest.param({"concurrency": [PER_USER]}, [{**PER_USER, "scope": "env"}], {"a": 1, "b": 1}, id="another scope"),
        pytest.param({"singleton": {"mode": "skip", "key": "false"}}, [{"limit": 1}], {"all": 1}, id="beside others"),
    ],
)
async def test_a_new_limit_of_calls_binds_runs_that_began_before_it(
    start: StartSystem, before: dict[str, Any], after: list[dict[str, Any]], most: dict[str, int]
) -> None:
    async with start(Fn("f", nap, ON_X, options=dict(before)), clock=VirtualClock()) as system:
        ids = await send_all(system, "aaabbb")
        meter = system.app.replies["f"] = Meter()
        await register(system, {"concurrency": after})
        await system.advance(HOUR)

        assert {"Completed": 6} == await statuses(system, ids)
        assert most == {name: meter.most[name] for name in most}
        assert 0 == await left_behind(system)


async def test_a_limit_that_is_gone_binds_nobody_and_its_slots_come_free(start: StartSystem) -> None:
    options = {
        "concurrency": {"step": [{"limit": 1}], "fn": [{"limit": 2}]},
        "throttle": {"limit": 1, "period": "1h", "burst": 0},
    }
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, "aaaa")
        first = await statuses(system, ids)
        await register(system, {})
        await system.idle()
        second = await statuses(system, ids)
        await system.advance(HOUR)

        assert ({"Scheduled": 3, "Running": 1}, {"Running": 4}) == (first, second)
        assert {"Completed": 4} == await statuses(system, ids)
        assert 0 == await left_behind(system)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param({}, id="none before"),
        pytest.param({"throttle": {"limit": 1000, "period": "1s"}}, id="a wider one"),
        pytest.param({"throttle": {"limit": 1000, "period": "1s", "key": "event.data.user"}}, id="another key"),
    ],
)
async def test_a_new_throttle_binds_runs_that_have_not_started(start: StartSystem, before: dict[str, Any]) -> None:
    async with start(Fn("f", nap, ON_X, options=dict(before)), clock=VirtualClock()) as system:
        ids = await send_all(system, "abab", ahead=60)
        await register(system, {"throttle": {"limit": 1, "period": "10s", "burst": 0}})
        await system.advance(60)
        running = [(await statuses(system, ids))["Running"]]
        for _ in range(3):
            await system.advance(10)
            running.append((await statuses(system, ids))["Running"])

        assert [1, 2, 3, 4] == running


@pytest.mark.parametrize(
    ("limit", "running"),
    [({"limit": 1}, 1), ({"limit": 1, "key": "event.data.user"}, 2), ({"limit": 1, "key": "1", "scope": "env"}, 1)],
)
async def test_a_new_limit_of_whole_runs_binds_runs_that_have_not_started(
    start: StartSystem, limit: dict[str, Any], running: int
) -> None:
    async with start(Fn("f", nap, ON_X), clock=VirtualClock()) as system:
        ids = await send_all(system, "abab", ahead=60)
        await register(system, {"concurrency": {"fn": [limit]}})
        await system.advance(60)
        first = (await statuses(system, ids))["Running"]
        for _ in range(4):
            await system.advance(HOUR)

        assert running == first
        assert {"Completed": 4} == await statuses(system, ids)
        assert 0 == await left_behind(system)


@pytest.mark.parametrize(
    ("after", "outcome"),
    [({"finish": "10s"}, "Cancelled"), ({"finish": "2h"}, "Completed"), ({"start": "10s"}, "Completed")],
)
async def test_a_timeout_that_became_longer_or_is_gone_cancels_no_run(
    start: StartSystem, after: dict[str, str], outcome: str
) -> None:
    options = {"timeouts": {"finish": "10s"}}
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, "a")
        await register(system, {"timeouts": after})
        await system.advance(10)
        await system.advance(HOUR)

        assert {outcome: 1} == await statuses(system, ids)
