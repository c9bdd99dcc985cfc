"""A full disk, a locked database, and a clock that jumps: clear errors, nothing lost, and the server stays up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor import loop
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.store import database
from stepserve_core.executor.store.tables import Tables
from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def two_steps(call: Call) -> Steps:
    first = yield run("first", call.event["data"]["n"])
    second = yield run("second", "x" * 20_000)
    return [first, len(second)]


def nap(call: Call) -> Steps:
    yield sleep("nap", "1h")
    return call.event["data"]["n"]


async def set_page_limit(system: System, extra: int | None) -> None:
    """Let the database grow by `extra` pages at most; None takes the limit away."""

    def unit(tables: Tables) -> None:
        execute = tables.runs._execute  # pyright: ignore[reportPrivateUsage] - the connection of the writer
        (pages,) = execute("PRAGMA page_count").fetchone()
        execute(f"PRAGMA max_page_count = {2**30 if extra is None else pages + extra}").fetchone()

    while True:
        try:
            return await system.executor.store.write(unit)
        except sqlite3.OperationalError:
            pass  # it shared its transaction with what the full disk refused


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
async def test_a_full_disk_refuses_events_and_keeps_answers_until_there_is_room(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_DATABASE_PAUSE", 0.01)
    async with start(Fn("f", two_steps, ON_X)) as system:
        held, free = asyncio.Event(), asyncio.Event()
        original = system.app.replies

        async def hold(call: Call) -> Response:
            held.set()
            await free.wait()
            del original["f"]
            return reply(200, ["x" * 100_000, call.event["data"]["n"]])

        system.app.replies["f"] = hold
        under_way = await system.send("test/x", {"n": 1})
        await held.wait()
        await set_page_limit(system, 2)
        free.set()
        refused = await system.http.post("/e/key", json={"name": "test/x", "data": {"n": 2, "blob": "x" * 100_000}})
        health = await system.http.get("/health")
        await asyncio.sleep(0.05)

        assert (503, 200) == (refused.status_code, health.status_code)
        assert "the database cannot be used: database or disk is full" == refused.json()["error"]
        assert "Running" == (await system.runs(under_way))[0]["status"]
        await set_page_limit(system, None)
        accepted = await system.send("test/x", {"n": 3})
        while (await system.runs(under_way))[0]["status"] != "Completed":
            await asyncio.sleep(0.01)
        assert 1 == (await system.run_of(under_way))["output"][1]
        assert ("Completed", [3, 20_000]) == await system.outcome(accepted)
        assert 1 == sum(call.event["data"]["n"] == 1 for call in system.app.calls)
        assert 2 == len(await system.events("test/x"))


async def test_a_database_that_another_process_locks_is_waited_for(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_DATABASE_PAUSE", 0.01)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    async with start(Fn("f", two_steps, ON_X)) as system:
        other = sqlite3.connect(str(system.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = await system.http.post("/e/key", json={"name": "test/x", "data": {"n": 1}})
        listed = await system.http.get("/v1/events")
        other.execute("ROLLBACK")
        other.close()
        accepted = await system.send("test/x", {"n": 2})

        assert (503, 200) == (refused.status_code, listed.status_code)
        assert "the database cannot be used: database is locked" == refused.json()["error"]
        assert ("Completed", [2, 20_000]) == await system.outcome(accepted)


class JumpingClock(VirtualClock):
    """A clock that may also be put back."""

    def jump_to(self, moment: float) -> None:
        self._now = moment
        self.advance(0)


@pytest.mark.parametrize("jump", [7 * 86_400.0, -7 * 86_400.0])
async def test_a_call_that_a_jump_of_the_clock_meets_is_neither_lost_nor_repeated(
    start: StartSystem, jump: float
) -> None:
    clock = JumpingClock()
    async with start(Fn("f", two_steps, ON_X), clock=clock) as system:
        held, free = asyncio.Event(), asyncio.Event()

        async def hold(_: Call) -> Response:
            held.set()
            await free.wait()
            return reply(200, "done")

        system.app.replies["f"] = hold
        event_id = await system.send("test/x", {"n": 1})
        await held.wait()
        clock.jump_to(clock.now() + jump)
        system.executor.loop.wake()
        after = await system.send("test/other")
        free.set()

        assert ("Completed", "done") == await system.outcome(event_id)
        assert 1 == len(system.app.calls)
        assert await system.runs(after) == []
        del system.app.replies["f"]
        assert ("Completed", [2, 20_000]) == await system.outcome(await system.send("test/x", {"n": 2}))


async def test_timers_keep_their_moment_when_the_clock_is_put_back(start: StartSystem) -> None:
    clock = JumpingClock()
    begun = clock.now()
    async with start(Fn("f", nap, ON_X), clock=clock) as system:
        event_id = await system.send("test/x", {"n": 1})
        await system.idle()
        clock.jump_to(begun - 7200)
        await system.advance(3600)
        assert "Running" == (await system.runs(event_id))[0]["status"]
        await system.advance(7200)

        assert ("Completed", 1) == await system.outcome(event_id)


async def test_rates_hold_nothing_back_longer_than_their_interval_when_the_clock_is_put_back(
    start: StartSystem,
) -> None:
    clock = JumpingClock()
    throttled = Fn("t", nap, ON_X, options={"throttle": {"limit": 1, "period": "1m", "burst": 0}})
    limited = Fn("r", nap, ON_X, options={"rateLimit": {"limit": 1, "period": "1m"}})
    async with start(throttled, limited, clock=clock) as system:
        await system.send("test/x", {"n": 0})
        await system.idle()
        clock.jump_to(clock.now() - 86_400)
        await system.send("test/x", {"n": 1})
        await system.idle()
        await system.advance(60)
        later = await system.send("test/x", {"n": 2})
        await system.advance(60)

        assert ["Running", "Running"] == [run["status"] for run in await system.runs(later)]
        assert [0, 0, 1, 2, 2] == sorted(call.event["data"]["n"] for call in system.app.calls)
