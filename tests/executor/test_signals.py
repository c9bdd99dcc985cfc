"""Signals, from the SDK through the wire to the executor and back."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import stepserve
from stepserve import Function, Inngest
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, Step, hash_id
from tests.executor.sdk_system import KEY, sdk_system

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


async def wait_for_payment(ctx: Any) -> Any:
    name = f"paid-{ctx.event.data['order']}"
    conflict = ctx.event.data.get("conflict", "fail")
    paid = await ctx.step.wait_for_signal("wait", signal=name, timeout="1h", on_conflict=conflict)
    return None if paid is None else [paid.signal, paid.data]


async def pay(ctx: Any) -> Any:
    return await ctx.step.send_signal("pay", f"paid-{ctx.event.data['order']}", {"by": ["card", 1.5]})


def payment_functions(colour: str) -> Any:
    def make(client: Inngest) -> list[Function[Any]]:
        paying = define(client, colour, pay, fn_id="pay", trigger=stepserve.TriggerEvent(event="shop/pay"))
        return [define(client, colour, wait_for_payment), paying]

    return make


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
@pytest.mark.not_under(*regime.REPEATS, reason="a signal that is sent again finds nobody, and its answer says so")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_step_sends_a_signal_to_the_run_that_waits_for_it(colour: str) -> None:
    async with sdk_system(payment_functions(colour), clock=VirtualClock()) as system:
        waiting = await system.send("shop/order", {"order": 7})
        await system.idle()
        paying = await system.send("shop/pay", {"order": 7})

        assert ("Completed", ["paid-7", {"by": ["card", 1.5]}]) == await system.outcome(waiting)
        (run,) = await system.runs(waiting)
        assert ("Completed", run["run_id"]) == await system.outcome(paying)
        assert await system.executor.read(lambda tables: tables.queue.next_due()) is None


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_signal_that_nobody_waits_for_says_so(colour: str) -> None:
    async with sdk_system(payment_functions(colour)) as system:
        assert ("Completed", None) == await system.outcome(await system.send("shop/pay", {"order": 7}))


async def test_a_client_sends_signals_with_its_key() -> None:
    settings: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"]}
    async with sdk_system(payment_functions("async"), **settings) as system:
        waiting = await system.send("shop/order", {"order": 7})
        await system.idle()
        run_id = await system.client.send_signal("paid-7", "yes")
        (run,) = await system.runs(waiting)

        assert run["run_id"] == run_id
        assert ("Completed", ["paid-7", "yes"]) == await system.outcome(waiting)
        assert await system.client.send_signal("paid-7") is None
        refused = await system.http.post("/v1/signals", json={"signal": "s"}, headers={"authorization": "Bearer x"})
        assert 401 == refused.status_code


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
async def test_a_wait_for_a_signal_ends_with_its_timeout() -> None:
    async with sdk_system(payment_functions("async"), clock=VirtualClock()) as system:
        waiting = await system.send("shop/order", {"order": 7})
        await system.idle()
        await system.advance(3600)

        assert ("Completed", None) == await system.outcome(waiting)
        assert await system.client.send_signal("paid-7", "late") is None


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
async def test_a_second_run_that_waits_for_the_same_signal_fails_at_once() -> None:
    async with sdk_system(payment_functions("async"), clock=VirtualClock()) as system:
        first = await system.send("shop/order", {"order": 7})
        await system.idle()
        status, output = await system.outcome(await system.send("shop/order", {"order": 7}))
        await system.client.send_signal("paid-7", "first")

        assert ("Failed", "Signal conflict; signal wait already exists for another run") == (status, output["message"])
        assert ("Completed", ["paid-7", "first"]) == await system.outcome(first)


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
async def test_a_second_run_may_take_the_place_of_the_first_which_goes_on_after_its_timeout() -> None:
    async with sdk_system(payment_functions("async"), clock=VirtualClock()) as system:
        first = await system.send("shop/order", {"order": 7})
        await system.idle()
        await system.advance(60)
        second = await system.send("shop/order", {"order": 7, "conflict": "replace"})
        await system.idle()
        await system.client.send_signal("paid-7", "second")

        assert ("Completed", ["paid-7", "second"]) == await system.outcome(second)
        assert "Running" == (await system.runs(first))[0]["status"]
        await system.advance(3600)
        assert ("Completed", None) == await system.outcome(first)


async def test_a_run_that_ends_frees_its_signal(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        return (yield Step("WaitForSignal", "w", opts={"signal": "s", "timeout": "1h"}))

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        run = await system.run_of(await system.send("test/x"))
        await system.executor.cancel(run["run_id"])

        assert 404 == (await system.http.post("/v1/signals", json={"signal": "s"})).status_code
        again = await system.send("test/x")
        await system.idle()
        assert 200 == (await system.http.post("/v1/signals", json={"signal": "s", "data": 1})).status_code
        assert ("Completed", {"signal": "s", "data": 1}) == await system.outcome(again)


async def test_nothing_is_left_of_an_answer_whose_signal_fails_the_run(start: StartSystem) -> None:
    def script(call: Call) -> Steps:
        last = call.event["data"]["last"]
        yield [Step("WaitForSignal", name, opts={"signal": name, "timeout": "1h"}) for name in ("own", last)]

    async with start(Fn("f", script, ON_X), clock=VirtualClock()) as system:
        first = await system.send("test/x", {"last": "s"})
        await system.idle()
        (run,) = await system.runs(first)
        await system.http.post("/v1/signals", json={"signal": "own"})
        status, _ = await system.outcome(await system.send("test/x", {"last": "s"}))
        assert 404 == (await system.http.post("/v1/signals", json={"signal": "own"})).status_code
        await system.executor.cancel(run["run_id"])

        assert "Failed" == status
        assert await system.executor.read(lambda tables: tables.queue.next_due()) is None


async def test_waits_for_signals_survive_a_restart(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        return (yield Step("WaitForSignal", "w", opts={"signal": "s", "timeout": "1h"}))

    clock = VirtualClock()
    async with start(Fn("f", script, ON_X), clock=clock) as system:
        event_id = await system.send("test/x")
        await system.idle()
    async with start(Fn("f", script, ON_X), clock=clock) as system:
        await system.http.post("/v1/signals", json={"signal": "s", "data": 2})

        assert ("Completed", {"signal": "s", "data": 2}) == await system.outcome(event_id)
        assert {hash_id("w"): {"data": {"signal": "s", "data": 2}}} == system.app.calls[-1].memos


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data":1}', b'{"signal":""}', b'{"signal":1}', b'{"signal":"a","data":']
)
async def test_a_body_that_is_no_signal_is_refused(start: StartSystem, body: bytes) -> None:
    async with start() as system:
        answer = await system.http.post("/v1/signals", content=body)

        assert 400 == answer.status_code
        assert "signal" in answer.json()["error"]


def in_parallel(call: Call) -> Steps:
    timeouts = {"one": "1h", "two": "2h", "three": "3h"}
    conflict = call.event["data"].get("conflict", "fail")
    waits = [
        Step("WaitForSignal", name, opts={"signal": "s", "timeout": timeout, "conflict": conflict})
        for name, timeout in timeouts.items()
    ]
    return (yield waits)


@pytest.mark.parametrize("conflict", ["fail", "replace"])
async def test_steps_of_one_run_wait_for_one_signal_side_by_side(start: StartSystem, conflict: str) -> None:
    async with start(Fn("f", in_parallel, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x", {"conflict": conflict})
        await system.idle()
        await system.advance(3600)
        answer = await system.http.post("/v1/signals", json={"signal": "s", "data": 1})
        received = {"signal": "s", "data": 1}

        assert 200 == answer.status_code
        assert ("Completed", [None, received, received]) == await system.outcome(event_id)
        assert 404 == (await system.http.post("/v1/signals", json={"signal": "s"})).status_code


async def test_a_run_that_takes_a_signal_takes_it_from_all_steps_of_the_other_run(start: StartSystem) -> None:
    async with start(Fn("f", in_parallel, ON_X), clock=VirtualClock()) as system:
        first = await system.send("test/x")
        await system.idle()
        second = await system.send("test/x", {"conflict": "replace"})
        await system.idle()
        await system.http.post("/v1/signals", json={"signal": "s", "data": 2})

        assert [2, 2, 2] == [one["data"] for one in (await system.outcome(second))[1]]
        await system.advance(3 * 3600)
        assert ("Completed", [None, None, None]) == await system.outcome(first)
