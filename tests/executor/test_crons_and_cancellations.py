"""Cron ticks, and runs that are cancelled by events or by hand."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve import Cancel, Function, Inngest
from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS, in_colour
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, sleep
from tests.executor.sdk_system import sdk_system

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def say_when(call: Call) -> Steps:
    return call.event["data"]["scheduledAt"]
    yield


def nap(_: Call) -> Steps:
    yield sleep("nap", "1h")
    return "woke"


EVERY_FIVE_MINUTES = [{"cron": "*/5 * * * *"}]
START = 1_700_000_000.0  # 2023-11-14T22:13:20Z


async def test_each_tick_starts_one_run_that_knows_its_scheduled_time(start: StartSystem) -> None:
    async with start(Fn("f", say_when, EVERY_FIVE_MINUTES), clock=VirtualClock(START)) as system:
        await system.advance(100)
        await system.advance(300)

        ticks = await system.events("inngest/scheduled.timer")
        assert ["2023-11-14T22:15:00Z", "2023-11-14T22:20:00Z"] == [tick["id"] for tick in ticks]
        (run,) = await system.runs(ticks[0]["internal_id"])
        assert ("2023-11-14T22:15:00.000Z", "*/5 * * * *") == (run["output"], run["cron"])


async def test_a_tick_by_hand_takes_the_place_of_the_pending_one(start: StartSystem) -> None:
    async with start(Fn("f", say_when, EVERY_FIVE_MINUTES), clock=VirtualClock(START)) as system:
        answer = await system.http.post("/v1/functions/app-f/tick")
        await system.idle()

        assert {"ticks": 1} == answer.json()["data"]
        await system.advance(100)
        ticks = await system.events("inngest/scheduled.timer")
        assert ["2023-11-14T22:15:00Z"] == [tick["id"] for tick in ticks]


async def test_a_tick_of_an_unknown_function_is_refused(start: StartSystem) -> None:
    async with start(Fn("f", say_when, EVERY_FIVE_MINUTES)) as system:
        answer = await system.http.post("/v1/functions/app-nobody/tick")

        assert (404, "function app-nobody not found") == (answer.status_code, answer.json()["error"])


async def test_a_restart_neither_repeats_a_tick_nor_loses_the_next(start: StartSystem) -> None:
    function = Fn("f", say_when, EVERY_FIVE_MINUTES)
    async with start(function, clock=VirtualClock(START)) as system:
        await system.advance(100)
    async with start(function, clock=VirtualClock(START + 110)) as system:
        await system.idle()
        assert 1 == len(await system.events("inngest/scheduled.timer"))

        await system.advance(300)
        assert 2 == len(await system.events("inngest/scheduled.timer"))


async def test_ticks_missed_while_the_server_was_down_are_made_up_for_by_one(start: StartSystem) -> None:
    function = Fn("f", say_when, EVERY_FIVE_MINUTES)
    async with start(function, clock=VirtualClock(START)) as system:
        await system.idle()
    async with start(function, clock=VirtualClock(START + 3600)) as system:
        await system.idle()
        await system.advance(300)

        ticks = await system.events("inngest/scheduled.timer")
        assert ["2023-11-14T22:15:00Z", "2023-11-14T23:15:00Z"] == [tick["id"] for tick in ticks]


async def test_a_schedule_that_a_function_no_longer_has_stops(start: StartSystem) -> None:
    async with start(Fn("f", say_when, EVERY_FIVE_MINUTES), clock=VirtualClock(START)) as system:
        system.app.functions[0].triggers = ON_X
        await system.http.post("/fn/register", json=system.app.registration())
        await system.advance(600)

        assert [] == await system.events("inngest/scheduled.timer")


CANCEL = {"cancel": [{"event": "test/stop", "if": "async.data.id == event.data.id"}]}


async def test_an_event_cancels_the_runs_that_its_expression_names(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X, options=CANCEL), clock=VirtualClock()) as system:
        first = await system.send("test/x", {"id": 1})
        second = await system.send("test/x", {"id": 2})
        await system.idle()
        await system.send("test/stop", {"id": 1})
        await system.advance(3600)

        assert "Cancelled" == (await system.outcome(first))[0]
        assert ("Completed", "woke") == await system.outcome(second)
        assert 0 == await system.executor.read(lambda tables: tables.pauses.count("test/stop"))
        (event,) = await system.events("inngest/function.cancelled")
        assert (await system.run_of(first))["run_id"] == event["id"]


async def test_a_cancellation_whose_time_is_over_does_nothing(start: StartSystem) -> None:
    options = {"cancel": [{"event": "test/stop", "timeout": "10m"}]}
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(601)
        await system.send("test/stop")
        await system.advance(3600)

        assert ("Completed", "woke") == await system.outcome(event_id)


async def test_a_run_is_cancelled_by_hand_once(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X), clock=VirtualClock()) as system:
        run = await system.run_of(await system.send("test/x"))
        path = f"/v1/runs/{run['run_id']}"

        assert 200 == (await system.http.delete(path)).status_code
        assert "Cancelled" == (await system.get(path))["status"]
        assert await system.executor.read(lambda tables: tables.queue.next_due()) is None
        assert 409 == (await system.http.delete(path)).status_code
        assert 404 == (await system.http.delete("/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV")).status_code


async def test_the_answer_of_a_call_that_was_under_way_when_its_run_was_cancelled_is_discarded(
    start: StartSystem,
) -> None:
    async with start(Fn("f", nap, ON_X)) as system:

        async def cancelled_meanwhile(call: Call) -> Response:
            answer = await system.http.delete(f"/v1/runs/{call.body['ctx']['run_id']}")

            assert 200 == answer.status_code
            return reply(200, "too late")

        system.app.replies["f"] = cancelled_meanwhile
        status, output = await system.outcome(await system.send("test/x"))

        assert ("Cancelled", "FunctionCancelled") == (status, output["name"])


HOURLY_WITHIN_FIVE_MINUTES = [{"cron": "0 * * * *", "jitter": "5m"}]


async def test_a_jitter_delays_each_tick_by_its_own_part_of_it(start: StartSystem) -> None:
    clock = VirtualClock(1_699_999_200.0)  # 2023-11-14T22:00:00Z
    async with start(Fn("f", say_when, HOURLY_WITHIN_FIVE_MINUTES), clock=clock) as system:
        due = []
        for _ in range(4):
            moment = await system.executor.read(lambda tables: tables.queue.next_due())
            assert moment is not None
            due.append(moment)
            await system.advance(moment - clock.now())
        ticks = await system.events("inngest/scheduled.timer")

    assert ["23:00:00Z", "00:00:00Z", "01:00:00Z", "02:00:00Z"] == [tick["id"][11:] for tick in ticks]
    delays = [moment % 3600 for moment in due]
    assert all(0 <= delay < 300 for delay in delays)
    assert 4 == len(set(delays))


async def test_a_restart_keeps_the_delay_of_a_tick(start: StartSystem) -> None:
    due = []
    for _ in range(2):
        settings: dict[str, Any] = {"clock": VirtualClock(START), "database": None}
        async with start(Fn("f", say_when, HOURLY_WITHIN_FIVE_MINUTES), **settings) as system:
            due.append(await system.executor.read(lambda tables: tables.queue.next_due()))

    assert due[0] == due[1]


async def test_ticks_closer_than_their_jitter_are_not_lost(start: StartSystem) -> None:
    every_minute = [{"cron": "* * * * *", "jitter": "5m"}]
    async with start(Fn("f", say_when, every_minute), clock=VirtualClock(START)) as system:
        for _ in range(70):
            await system.advance(10)
        ticks = await system.events("inngest/scheduled.timer")

    minutes = [tick["id"][14:16] for tick in ticks]
    assert [f"{minute:02d}" for minute in range(14, 14 + len(minutes))] == minutes
    assert len(minutes) >= 6


@pytest.mark.parametrize(("zone", "expected"), [("Europe/Berlin", "08:00:00Z"), ("Asia/Kolkata", "03:30:00Z")])
async def test_a_schedule_follows_its_time_zone(start: StartSystem, zone: str, expected: str) -> None:
    clock = VirtualClock(START)
    async with start(Fn("f", say_when, [{"cron": f"TZ={zone} 0 9 * * *"}]), clock=clock) as system:
        await system.advance(86_400)
        (tick,) = await system.events("inngest/scheduled.timer")

    assert expected == tick["id"][11:]


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_cancelled_run_calls_the_handler_of_its_function_once(colour: str) -> None:
    handled: list[Any] = []

    async def sleepy(ctx: Any) -> Any:
        await ctx.step.sleep("nap", "1h")

    async def clean_up(ctx: Any) -> Any:
        await ctx.step.run("note", lambda: handled.append(ctx.event.data))
        return "cleaned"

    def make(client: Inngest) -> list[Function[Any]]:
        cancel = [Cancel(event="shop/stop", if_exp="async.data.n == event.data.n")]
        return [define(client, colour, sleepy, cancel=cancel, on_cancel=in_colour(colour, clean_up))]

    async with sdk_system(make) as system:
        first = await system.send("shop/order", {"n": 1})
        second = await system.send("shop/order", {"n": 2})
        await system.idle()
        await system.send("shop/stop", {"n": 1})
        await system.idle()
        (cancelled,) = await system.runs(first)
        (running,) = await system.runs(second)
        by_hand = await system.client.cancel_run(running["run_id"])
        again = await system.client.cancel_run(running["run_id"])
        await system.idle()
        events = await system.events("inngest/function.cancelled")
        outcomes = [await system.outcome(event["internal_id"]) for event in events]

    assert (True, False) == (by_hand, again)
    assert [("Completed", "cleaned")] * 2 == outcomes
    assert [cancelled["run_id"], running["run_id"]] == [data["run_id"] for data in handled]
    assert [("app-f", {"n": 1}), ("app-f", {"n": 2})] == [
        (data["function_id"], data["event"]["data"]) for data in handled
    ]
