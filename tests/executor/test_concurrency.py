"""Concurrency limits: never more calls at once than allowed, all runs served, no slot left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply
from tests.executor.system import System

pytestmark = pytest.mark.anyio

ON_X = [{"event": "test/x"}]


def never(_: Call) -> Generator[Any, Any, Any]:
    yield AssertionError


class Meter:
    """Counts the calls under way by the user of their event; every call lets others come in before it ends."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_at_once = 0

    async def __call__(self, call: Call) -> Response:
        user = call.event["data"]["user"]
        self.now[user] += 1
        self.most[user] = max(self.most[user], self.now[user])
        self.most_at_once = max(self.most_at_once, sum(self.now.values()))
        await asyncio.sleep(0.005)
        self.now[user] -= 1
        return reply(200, user)


async def send_and_finish(system: System, users: str) -> list[str]:
    events = [{"name": "test/x", "data": {"user": user}} for user in users]
    ids = (await system.http.post("/e/key", json=events)).json()["ids"]
    await system.idle()
    return [(await system.outcome(event_id))[0] for event_id in ids]


@pytest.mark.parametrize(
    ("limits", "per_user", "at_once"),
    [
        ([{"limit": 2}], 2, 2),
        ([{"limit": 1, "key": "event.data.user"}], 1, 3),
        ([{"limit": 3}, {"limit": 1, "key": "event.data.user"}], 1, 3),
        ([{"limit": 2}, {"limit": 1, "key": "event.data.user"}], 1, 2),
        ([{"limit": 1, "key": "'all'", "scope": "account"}], 1, 1),
    ],
)
async def test_limits_hold_and_every_run_is_served(
    start: StartSystem, limits: list[dict[str, Any]], per_user: int, at_once: int
) -> None:
    meter = Meter()
    async with start(Fn("f", never, ON_X, options={"concurrency": limits})) as system:
        system.app.replies["f"] = meter
        statuses = await send_and_finish(system, "aaaaabbbccaa")

        assert ["Completed"] * 12 == statuses
        assert (per_user, at_once) == (max(meter.most.values()), meter.most_at_once)
        counts = await system.executor.read(lambda tables: tables.slots.held(f"{_function_id(system)}"))
        assert 0 == counts


def _function_id(system: System) -> str:
    (function,) = system.executor.registry.active()
    return function.id


async def test_a_limit_shared_by_the_environment_counts_both_functions(start: StartSystem) -> None:
    meter = Meter()
    options = {"concurrency": [{"limit": 1, "key": "event.data.user", "scope": "env"}]}
    async with start(Fn("f", never, ON_X, options=options), Fn("g", never, ON_X, options=options)) as system:
        system.app.replies.update(f=meter, g=meter)
        await system.http.post("/e/key", json=[{"name": "test/x", "data": {"user": "a"}}] * 3)
        await system.idle()

        assert 6 == len(system.app.calls)
        assert 1 == meter.most_at_once


async def test_the_calls_of_all_functions_together_are_bounded(start: StartSystem) -> None:
    meter = Meter()
    async with start(Fn("f", never, ON_X), concurrency=3) as system:
        system.app.replies["f"] = meter
        statuses = await send_and_finish(system, "abcdefghij")

        assert ["Completed"] * 10 == statuses
        assert 3 == meter.most_at_once


async def test_a_cancelled_run_frees_its_slot(start: StartSystem) -> None:
    options = {"concurrency": [{"limit": 1}], "cancel": [{"event": "test/stop"}]}
    async with start(Fn("f", never, ON_X, options=options)) as system:
        release = asyncio.Event()

        async def hold(call: Call) -> Response:
            if call.event["data"]["user"] == "first":
                await release.wait()
            return reply(200, "done")

        system.app.replies["f"] = hold
        first = await system.send("test/x", {"user": "first"})
        while not system.app.calls:
            await asyncio.sleep(0.005)
        await system.send("test/stop")
        second = await system.send("test/x", {"user": "second"})
        while (await system.runs(second))[0]["status"] != "Completed":
            await asyncio.sleep(0.005)
        release.set()

        assert "Cancelled" == (await system.outcome(first))[0]
