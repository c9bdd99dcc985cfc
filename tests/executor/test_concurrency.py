"""Concurrency limits: never more calls at once than allowed, all runs served, no slot left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.claims import claim
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.store import Store
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, run, sleep
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
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> Response:
        self.calls.append(call)
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


@pytest.mark.not_under(reason="counts the calls that are under way at once, as the app sees them")
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


@pytest.mark.not_under(reason="counts the calls that are under way at once, as the app sees them")
async def test_a_limit_shared_by_the_environment_counts_both_functions(start: StartSystem) -> None:
    meter = Meter()
    options = {"concurrency": [{"limit": 1, "key": "event.data.user", "scope": "env"}]}
    async with start(Fn("f", never, ON_X, options=options), Fn("g", never, ON_X, options=options)) as system:
        system.app.replies.update(f=meter, g=meter)
        await system.http.post("/e/key", json=[{"name": "test/x", "data": {"user": "a"}}] * 3)
        await system.idle()

        assert 6 == len(system.app.calls)
        assert 1 == meter.most_at_once


@pytest.mark.not_under(reason="counts the calls that are under way at once, as the app sees them")
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


async def test_slots_of_a_process_that_died_are_free_when_the_next_one_starts(start: StartSystem) -> None:
    fn = Fn("f", never, ON_X, options={"concurrency": [{"limit": 1}]})
    clock = VirtualClock()
    async with start(fn, clock=clock) as system:
        # A start in the future: it is queued here, and claimed below as a process would that dies of it.
        later = [{"name": "test/x", "data": {"user": "a"}, "ts": int((clock.now() + 60) * 1000)}] * 2
        ids = (await system.http.post("/e/key", json=later)).json()["ids"]
        registry, database = system.executor.registry, str(system.database)
    store = Store(database)
    moment = clock.now() + 60
    claims = await store.write(lambda tables: claim(Scope(tables, registry, moment), 10, moment + LEASE))
    store.close()
    async with start(fn, clock=VirtualClock(moment + 1)) as system:
        system.app.replies["f"] = lambda _: reply(200, "done")
        outcomes = [await system.outcome(event_id) for event_id in ids]

    assert 1 == len(claims.items)
    assert [("Completed", "done")] * 2 == outcomes


async def test_a_slot_is_held_for_a_call_and_not_between_the_calls_of_a_run(start: StartSystem) -> None:
    def three_calls(_: Call) -> Generator[Any, Any, Any]:
        first = yield run("first", 1)
        yield sleep("nap", "1h")
        return first + (yield run("second", 1))

    clock = VirtualClock()
    async with start(Fn("f", three_calls, ON_X, options={"concurrency": [{"limit": 1}]}), clock=clock) as system:
        ids = [await system.send("test/x", {"user": user}) for user in "abc"]
        await system.idle()

        assert [2] * 3 == [len(calls) for calls in _by_run(system)]
        await system.advance(3600)
        assert [("Completed", 2)] * 3 == [await system.outcome(event_id) for event_id in ids]


def _by_run(system: System) -> list[list[Call]]:
    runs: dict[str, list[Call]] = {}
    for call in system.app.calls:
        runs.setdefault(call.headers["x-run-id"], []).append(call)
    return list(runs.values())


async def test_an_item_that_another_limit_holds_back_lets_the_next_one_pass(start: StartSystem) -> None:
    shared = {"limit": 1, "key": "event.data.user", "scope": "env"}
    holder = Fn("holder", never, [{"event": "test/hold"}], options={"concurrency": [shared]})
    limited = Fn("limited", never, ON_X, options={"concurrency": [{"limit": 1}, shared]})
    async with start(holder, limited) as system:
        release, first_may_end = asyncio.Event(), asyncio.Event()

        async def hold(_: Call) -> Response:
            await release.wait()
            return reply(200, "held")

        async def answer(call: Call) -> Response:
            if call.event["data"]["user"] == "first":
                await first_may_end.wait()
            return reply(200, "done")

        system.app.replies.update(holder=hold, limited=answer)
        await system.send("test/hold", {"user": "busy"})
        await system.send("test/x", {"user": "first"})
        busy = await system.send("test/x", {"user": "busy"})
        free = await system.send("test/x", {"user": "free"})
        while len(system.app.calls) < 2:
            await asyncio.sleep(0.005)
        first_may_end.set()
        # The run of "busy" is next in line, but its user is held by the other function; "free" must not wait for it.
        while (await system.runs(free))[0]["status"] != "Completed":
            await asyncio.sleep(0.005)

        assert "Completed" != (await system.runs(busy))[0]["status"]
        release.set()
        assert ("Completed", "done") == await system.outcome(busy)


def two_calls(_: Call) -> Generator[Any, Any, Any]:
    yield sleep("nap", "1h")
    return "done"


@pytest.mark.not_under(reason="counts the calls that are under way at once, as the app sees them")
async def test_a_run_counts_for_the_limit_that_its_key_was_made_for_whatever_limits_came_since(
    start: StartSystem,
) -> None:
    by_user, by_shop = {"limit": 1, "key": "event.data.user"}, {"limit": 2, "key": "event.data.shop"}
    function = Fn("f", two_calls, ON_X, options={"concurrency": [by_user, by_shop]})
    async with start(function, clock=VirtualClock()) as system:
        events = [{"name": "test/x", "data": {"user": f"u{n % 2}", "shop": "s"}} for n in range(8)]
        await system.http.post("/e/key", json=events)
        await system.idle()
        meter = Meter()
        system.app.replies["f"] = meter
        # The limit by user is gone, and that by shop has become wider and the first one.
        function.options["concurrency"] = [{"limit": 5, "key": "event.data.shop"}]
        await system.http.post("/fn/register", json=system.app.registration())
        await system.advance(3600)

        assert ({"u0": 4, "u1": 4}, 5) == (
            dict(Counter(done.event["data"]["user"] for done in meter.calls)),
            meter.most_at_once,
        )


async def test_a_run_that_began_before_a_limit_of_whole_runs_changed_does_not_wait_for_it(start: StartSystem) -> None:
    first = {"fn": [{"limit": 1, "key": "event.data.user"}]}
    function = Fn("f", two_calls, ON_X, options={"concurrency": first})
    async with start(function, clock=VirtualClock()) as system:
        await system.send("test/x", {"user": "a", "shop": "s"})
        await system.idle()
        waiting = await system.send("test/x", {"user": "a", "shop": "t"})
        function.options["concurrency"] = {"fn": [{"limit": 1, "key": "event.data.shop"}]}
        await system.http.post("/fn/register", json=system.app.registration())
        await system.idle()

        assert ["Running"] == [run["status"] for run in await system.runs(waiting)]
