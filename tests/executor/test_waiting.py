"""Sleeps, waits for events, and invocations, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import (
    Call,
    Fn,
    RaisedError,
    StepFailedError,
    hash_id,
    invoke,
    replay,
    reply,
    run,
    sleep,
    wait,
)

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def slow_result(_: Call) -> Steps:
    yield sleep("nap", "1h")
    return "done"


async def test_a_sleep_ends_at_its_moment_and_not_before(start: StartSystem) -> None:
    async with start(Fn("f", slow_result, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        (running,) = await system.runs(event_id)
        await system.advance(3599)

        assert "Running" == running["status"]

        assert 1 == len(system.app.calls)
        await system.advance(1)
        assert ("Completed", "done") == await system.outcome(event_id)
        assert {hash_id("nap"): None} == system.app.calls[-1].memos


async def test_a_sleep_may_name_a_date(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield sleep("until", "2023-11-14T23:13:20.000Z")  # one hour after the virtual clock starts
        return "done"

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(3600)

        assert ("Completed", "done") == await system.outcome(event_id)


async def test_a_sleep_over_366_days_fails_the_run_at_once(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield sleep("too long", "367d")

    async with start(Fn("f", script, ON_X)) as system:
        status, output = await system.outcome(await system.send("test/x"))

        assert ("Failed", "InngestErrTimeoutTooLong") == (status, output["name"])


def wait_for_payment(_: Call) -> Steps:
    event = yield wait("payment", "test/paid", "1h", "async.data.order == event.data.order")
    return None if event is None else event["data"]


async def test_a_wait_ends_with_the_first_event_that_its_expression_accepts(start: StartSystem) -> None:
    async with start(Fn("f", wait_for_payment, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x", {"order": 7})
        await system.idle()
        await system.send("test/paid", {"order": 8})
        await system.idle()
        assert 1 == len(system.app.calls)

        await system.send("test/paid", {"order": 7, "by": "card"})
        assert ("Completed", {"order": 7, "by": "card"}) == await system.outcome(event_id)
        assert "test/paid" == system.app.calls[-1].memos[hash_id("payment")]["name"]


@pytest.mark.not_under("late_answer", reason="looks at the moment of a timer")
async def test_a_wait_that_was_fulfilled_leaves_no_timer_behind(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield wait("w", "test/y", "1h")
        yield sleep("nap", "2h")

    clock = VirtualClock()
    async with start(Fn("f", script, ON_X), clock=clock) as system:
        await system.send("test/x")
        await system.idle()
        await system.send("test/y")
        await system.idle()

        assert clock.now() + 7200 == await system.executor.read(lambda tables: tables.queue.next_due())


async def test_a_wait_whose_time_is_over_gives_null(start: StartSystem) -> None:
    async with start(Fn("f", wait_for_payment, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x", {"order": 7})
        await system.idle()
        await system.advance(3600)

        assert ("Completed", None) == await system.outcome(event_id)
        assert {hash_id("payment"): None} == system.app.calls[-1].memos


async def test_a_wait_without_timeout_is_over_at_once(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        return (yield wait("w", "test/y", ""))

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        assert ("Completed", None) == await system.outcome(await system.send("test/x"))


async def test_an_event_that_comes_after_the_timeout_changes_nothing(start: StartSystem) -> None:
    async with start(Fn("f", wait_for_payment, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x", {"order": 7})
        await system.idle()
        await system.advance(3600)
        await system.send("test/paid", {"order": 7})

        assert ("Completed", None) == await system.outcome(event_id)
        assert 2 == len(system.app.calls)


@pytest.mark.not_under(*regime.REPEATS, reason="its app sends the event each time that it is asked")
async def test_an_event_that_arrives_while_the_wait_is_being_registered_is_not_missed(start: StartSystem) -> None:
    async with start(Fn("f", wait_for_payment, ON_X), clock=VirtualClock()) as system:

        async def answer_late(call: Call) -> Response:
            # The event is committed before the app has answered the call that asks to wait for it.
            await system.send("test/paid", {"order": 7})
            del system.app.replies["f"]
            options = {"timeout": "1h", "if": "async.data.order == event.data.order"}
            return reply(206, [{"op": "WaitForEvent", "id": hash_id("payment"), "name": "test/paid", "opts": options}])

        system.app.replies["f"] = answer_late
        event_id = await system.send("test/x", {"order": 7})

        assert ("Completed", {"order": 7}) == await system.outcome(event_id)


async def test_a_wait_whose_expression_does_not_compile_fails_the_run(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield wait("w", "test/y", "1h", "async.data.order ==")

    async with start(Fn("f", script, ON_X)) as system:
        status, output = await system.outcome(await system.send("test/x"))

        assert ("Failed", "InvalidExpression") == (status, output["name"])


async def test_an_invoked_function_gives_its_result_to_the_step(start: StartSystem) -> None:
    def parent(_: Call) -> Steps:
        return (yield invoke("child", "app-child", {"n": 20}))

    def child(call: Call) -> Steps:
        doubled = yield run("double", call.event["data"]["n"] * 2)
        return {"doubled": doubled}

    async with start(Fn("parent", parent, ON_X), Fn("child", child)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", {"doubled": 40}) == await system.outcome(event_id)
        invoked = system.app.calls_of("child")[0].event
        assert ("inngest/function.invoked", "app-child") == (invoked["name"], invoked["data"]["_inngest"]["fn_id"])
        finished = await system.events("inngest/function.finished")
        correlated = [event["data"].get("correlation_id") for event in finished]
        assert invoked["data"]["_inngest"]["correlation_id"] in correlated


async def test_the_failure_of_an_invoked_function_is_the_error_of_the_step(start: StartSystem) -> None:
    def parent(_: Call) -> Steps:
        try:
            yield invoke("child", "app-child")
        except StepFailedError as error:
            return error.error

    def child(_: Call) -> Steps:
        raise RaisedError("child broke", no_retry=True)
        yield

    async with start(Fn("parent", parent, ON_X), Fn("child", child)) as system:
        status, error = await system.outcome(await system.send("test/x"))

        assert "Completed" == status
        assert {"error": "NonRetriableError", "message": "child broke", "name": "RaisedError"} == error


async def test_invoking_an_unknown_function_is_an_error_of_the_step(start: StartSystem) -> None:
    def parent(_: Call) -> Steps:
        try:
            yield invoke("child", "app-nobody")
        except StepFailedError as error:
            return str(error)

    async with start(Fn("parent", parent, ON_X)) as system:
        expected = ("Completed", "could not find function with ID: app-nobody")

        assert expected == await system.outcome(await system.send("test/x"))


async def test_an_invocation_that_takes_too_long_times_out_and_the_child_goes_on(start: StartSystem) -> None:
    def parent(_: Call) -> Steps:
        try:
            yield invoke("child", "app-child", timeout="10m")
        except StepFailedError as error:
            return error.error

    async with start(Fn("parent", parent, ON_X), Fn("child", slow_result), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(600)
        message = "Timed out waiting for invoked function to complete"
        error = {
            "error": f"InngestInvokeTimeoutError: {message}",
            "message": message,
            "name": "InngestInvokeTimeoutError",
        }

        assert ("Completed", error) == await system.outcome(event_id)
        await system.advance(3000)
        assert 2 == len(system.app.calls_of("child"))


@pytest.mark.not_under(reason="looks at the moments of attempts")
async def test_retries_follow_the_backoff_table_with_jitter(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        raise RaisedError("broken")
        yield

    async with start(Fn("f", script, ON_X, retries=1), clock=VirtualClock(), retry_interval=None) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(14.9)
        assert 1 == len(system.app.calls)

        await system.advance(30.2)
        assert "Failed" == (await system.outcome(event_id))[0]
        assert 2 == len(system.app.calls)


async def test_retry_after_goes_before_the_retry_interval(start: StartSystem) -> None:
    def script(call: Call) -> Steps:
        if call.attempt == 0:
            raise RaisedError("later", retry_after="90")
        return "ok"
        yield

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(89)
        assert 1 == len(system.app.calls)

        await system.advance(1)
        assert ("Completed", "ok") == await system.outcome(event_id)


async def test_a_group_of_a_step_a_sleep_and_a_wait_goes_on_when_all_have_finished(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        done, nap, event = yield [run("a", "A"), sleep("nap", "10m"), wait("w", "test/y", "1h")]
        return [done, nap, event["name"]]

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(600)
        assert 2 == len(system.app.calls)

        await system.send("test/y")
        assert ("Completed", ["A", None, "test/y"]) == await system.outcome(event_id)
        assert 3 == len(system.app.calls)


async def test_an_event_from_the_future_starts_its_run_when_its_time_comes(start: StartSystem) -> None:
    clock = VirtualClock()

    def script(_: Call) -> Steps:
        return "ran"
        yield

    async with start(Fn("f", script, ON_X), clock=clock) as system:
        event_id = await system.send("test/x", ts=int((clock.now() + 60) * 1000))
        await system.idle()
        assert [] == system.app.calls

        await system.advance(60)
        assert ("Completed", "ran") == await system.outcome(event_id)


def waits_twice(call: Call) -> Steps:
    first = yield wait("first", "test/go", "1d")
    second = yield wait("second", "test/go", "1d")
    return [first["data"], second["data"]]


SEED = {"x-inngest-event-id-seed": "1743130137367,eii2YKXRVTJPuA=="}


async def test_an_event_that_is_sent_again_with_its_seed_ends_no_second_wait(start: StartSystem) -> None:
    """Its sender has sent one; only the answer was lost."""
    async with start(Fn("f", waits_twice, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        for _ in range(3):
            await system.http.post("/e/key", json={"name": "test/go", "data": {"n": 1}}, headers=SEED)
            await system.idle()
        (running,) = await system.runs(event_id)
        await system.send("test/go", {"n": 2})

        assert "Running" == running["status"]
        assert ("Completed", [{"n": 1}, {"n": 2}]) == await system.outcome(event_id)


async def test_an_event_that_is_sent_again_while_a_wait_is_registered_does_not_end_it(start: StartSystem) -> None:
    """Events that come during a call count for the waits that it opens; this one came before."""
    async with start(Fn("f", waits_twice, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        called, go_on = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> Response:
            called.set()
            await go_on.wait()
            return replay(waits_twice, call)

        system.app.replies["f"] = hold
        await system.http.post("/e/key", json={"name": "test/go", "data": {"n": 1}}, headers=SEED)
        await called.wait()
        await system.http.post("/e/key", json={"name": "test/go", "data": {"n": 1}}, headers=SEED)
        go_on.set()
        await system.idle()
        (running,) = await system.runs(event_id)

        assert "Running" == running["status"]


async def test_an_event_that_is_sent_again_with_its_seed_cancels_no_later_run(start: StartSystem) -> None:
    nap = Fn("f", slow_result, ON_X, options={"cancel": [{"event": "test/stop"}]})
    async with start(nap, clock=VirtualClock()) as system:
        runs = []
        for _ in range(2):
            runs.append(await system.send("test/x"))
            await system.idle()
            await system.http.post("/e/key", json={"name": "test/stop"}, headers=SEED)
            await system.idle()
        statuses = [(await system.runs(event_id))[0]["status"] for event_id in runs]

        assert ["Cancelled", "Running"] == statuses
