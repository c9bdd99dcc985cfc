"""Cron ticks, and runs that are cancelled by events or by hand."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, reply, sleep

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
