"""The harness runs functions with the semantics of production, in virtual time, in both colours."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import threading
import time
from typing import Any

import pytest

from stepserve import (
    Batch,
    Checkpointing,
    Context,
    ContextSync,
    Debounce,
    Event,
    EventType,
    Function,
    Inngest,
    NonRetriableError,
    TriggerCron,
    TriggerEvent,
)
from stepserve.testing import Harness, HarnessSync
from stepserve.testing.logs import LogCapture
from tests.testing.conftest import Open, settled

pytestmark = pytest.mark.anyio

ORDERED = Event(name="shop/ordered", data={"id": "A-1"})
UTC = datetime.timezone.utc


def order_function(client: Inngest, *, is_async: bool, **options: Any) -> Function[Any]:
    """Return a function that charges, waits three days, and ships."""
    decorate = client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"), **options)
    if is_async:

        async def order(ctx: Context) -> list[str]:
            receipt = await ctx.step.run("charge", lambda: f"charged {ctx.event.data['id']}")
            await ctx.step.sleep("cool-off", "3d")
            return [receipt, await ctx.step.run("ship", lambda: "shipped")]

        return decorate(order)

    def order_sync(ctx: ContextSync) -> list[str]:
        receipt = ctx.step.run("charge", lambda: f"charged {ctx.event.data['id']}")
        ctx.step.sleep("cool-off", "3d")
        return [receipt, ctx.step.run("ship", lambda: "shipped")]

    return decorate(order_sync)


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_a_run_goes_as_far_as_time_lets_it(open_: Open, client: Inngest, is_async: bool) -> None:
    async with open_(order_function(client, is_async=is_async)) as h:
        run = await h.send(ORDERED)

        assert ("Running", None) == (run.status, run.output)
        assert [("charge", "Completed"), ("cool-off", "Sleeping")] == [(step.id, step.status) for step in run.steps]
        await h.advance("71h")
        assert "Running" == run.status
        await h.advance("1h")
        assert ("Completed", ["charged A-1", "shipped"], None) == (run.status, run.output, run.error)
        assert datetime.timedelta(days=3) == run.step("cool-off").duration
        assert ("order", "shop/ordered") == (run.function_id, run.event.name)


async def test_time_can_be_skipped(open_: Open, client: Inngest) -> None:
    async with open_(order_function(client, is_async=True)) as h:
        began = h.clock.now
        run = await h.send(ORDERED)
        await h.skip_time()

        assert "Completed" == run.status
        assert datetime.timedelta(days=3) == h.clock.now - began


async def test_a_clock_begins_where_it_is_told_and_goes_to_moments(open_: Open, client: Inngest) -> None:
    start = datetime.datetime(2030, 1, 1, 12)
    async with open_(order_function(client, is_async=False), start=start) as h:
        run = await h.send(ORDERED)
        await settled(h.clock.advance_to(datetime.datetime(2030, 1, 4, 13, tzinfo=UTC)))

        assert datetime.datetime(2030, 1, 4, 12, tzinfo=UTC) == run.ended_at
        with pytest.raises(ValueError, match="only goes forward"):
            h.clock.advance_to(start)


async def test_an_advance_that_is_not_awaited_happens_in_the_next_run_until_idle(client: Inngest) -> None:
    async with Harness(client, [order_function(client, is_async=True)]) as h:
        run = await h.send(ORDERED)
        h.clock.advance("2d")
        h.clock.advance(datetime.timedelta(days=1))
        await h.run_until_idle()

        assert "Completed" == run.status


async def test_nothing_runs_between_two_calls_of_the_harness(client: Inngest) -> None:
    async with Harness(client, [order_function(client, is_async=True)]) as h:
        run = await h.send(ORDERED)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert ("Scheduled", []) == (run.status, run.steps)


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_failed_steps_are_retried_after_the_backoff_of_production(
    open_: Open, client: Inngest, is_async: bool
) -> None:
    tries: list[int] = []

    def charge() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no answer")
        return "charged"

    def order_sync(ctx: ContextSync) -> str:
        return ctx.step.run("charge", charge)

    async def order(ctx: Context) -> str:
        return await ctx.step.run("charge", charge)

    decorate: Any = client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"), retries=2)
    async with open_(decorate(order if is_async else order_sync)) as h:
        run = await h.send(ORDERED)
        step = run.step("charge")

        assert ("Running", 1, "ConnectionError: no answer") == (run.status, step.attempts, str(step.error))
        await h.advance("15s")
        assert (2, "Running") == (run.step("charge").attempts, run.status)
        await h.advance("29s")
        assert 2 == len(tries)
        await h.advance("1s")
        assert ("Completed", "charged", 3) == (run.status, run.output, run.step("charge").attempts)
        assert ("StepRun", None, "charged") == (
            run.step("charge").op,
            run.step("charge").error,
            run.step("charge").output,
        )


async def test_a_run_that_fails_says_with_what(open_: Open, client: Inngest) -> None:
    def failed(ctx: ContextSync) -> str:
        return str(ctx.event.data["error"]["message"])

    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"), on_failure=failed)
    def order(ctx: ContextSync) -> None:
        def refuse() -> None:
            raise NonRetriableError("card refused")

        ctx.step.run("charge", refuse)

    async with open_(order) as h:
        run = await h.send(ORDERED)

        assert ("Failed", None, "card refused") == (run.status, run.output, run.error.message)
        failure = h.runs[-1]
        assert ("order-failure", "Completed", "card refused") == (failure.function_id, failure.status, failure.output)


async def test_events_that_functions_send_start_others_and_are_shown(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    async def order(ctx: Context) -> None:
        await ctx.step.send_event("tell", Event(name="shop/shipped", data={"to": "Ada"}))

    @client.create_function(fn_id="mail", trigger=TriggerEvent(event="shop/shipped"))
    def mail(ctx: ContextSync) -> str:
        client.send_sync(Event(name="shop/mailed"))
        return f"to {ctx.event.data['to']}"

    async with open_(order, mail) as h:
        await h.send(ORDERED)

        assert [("shop/shipped", {"to": "Ada"}), ("shop/mailed", {})] == [(e.name, e.data) for e in h.sent_events]
        assert [("order", None), ("mail", "to Ada")] == [(run.function_id, run.output) for run in h.runs]


async def test_waits_end_with_events_or_in_time(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    async def order(ctx: Context) -> Any:
        paid = await ctx.step.wait_for_event(
            "paid", event="shop/paid", if_exp="async.data.id == event.data.id", timeout="1d"
        )
        return None if paid is None else paid.data

    async with open_(order) as h:
        first = await h.send(ORDERED)
        second = await h.send(Event(name="shop/ordered", data={"id": "B-2"}))
        await h.send(Event(name="shop/paid", data={"id": "A-1"}))

        assert ("Completed", {"id": "A-1"}) == (first.status, first.output)
        assert "Waiting" == second.step("paid").status
        await h.advance("1d")
        assert ("Completed", None, "TimedOut") == (second.status, second.output, second.step("paid").status)


async def test_schedules_fire_in_virtual_time_and_in_order(open_: Open, client: Inngest) -> None:
    ran: list[str] = []

    @client.create_function(fn_id="hourly", trigger=TriggerCron(cron="0 * * * *"))
    def hourly(ctx: ContextSync) -> None:
        ran.append("hourly")

    @client.create_function(fn_id="noon", trigger=TriggerCron(cron="30 12 * * *"))
    def noon(ctx: ContextSync) -> None:
        ran.append("noon")

    async with open_(hourly, noon, start=datetime.datetime(2030, 1, 1, 11, 30)) as h:
        await h.advance("3h")

        assert ["hourly", "noon", "hourly", "hourly"] == ran
        await h.skip_time()
        assert 4 == len(ran)


async def test_debounce_and_batches_happen_in_virtual_time(open_: Open, client: Inngest) -> None:
    @client.create_function(
        fn_id="last", trigger=TriggerEvent(event="shop/typed"), debounce=Debounce(period=datetime.timedelta(minutes=1))
    )
    def last(ctx: ContextSync) -> Any:
        return ctx.event.data["n"]

    @client.create_function(
        fn_id="batch", trigger=TriggerEvent(event="shop/sold"), batch_events=Batch(max_size=10, timeout="1m")
    )
    def batch(ctx: ContextSync) -> Any:
        return [event.data["n"] for event in ctx.events]

    async with open_(last, batch) as h:
        await h.send([Event(name="shop/typed", data={"n": n}) for n in range(3)])
        sold = await h.send([Event(name="shop/sold", data={"n": n}) for n in range(3)])

        assert [] == h.runs
        await h.skip_time()
        assert [("batch", [0, 1, 2]), ("last", 2)] == sorted((run.function_id, run.output) for run in h.runs)
        assert [0, 1, 2] == sold[2].output


async def test_a_function_is_invoked_with_data(open_: Open, client: Inngest) -> None:
    @dataclasses.dataclass
    class Sum:
        a: int
        b: int

    added = EventType("shop/add", Sum)

    @client.create_function(fn_id="add", trigger=added)
    def add(ctx: ContextSync[Sum]) -> int:
        return ctx.event.data.a + ctx.event.data.b

    async with open_(add) as h:
        invoked = await settled(h.invoke(add, Sum(1, 2)))
        sent = await h.send(added(Sum(3, 4)))

        assert (3, 7) == (invoked.output, sent.output)


async def test_steps_give_back_types_and_refuse_what_json_cannot_carry(open_: Open, client: Inngest) -> None:
    def day() -> datetime.date:
        return datetime.date(2030, 1, 2)

    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"), retries=0)
    def order(ctx: ContextSync) -> str:
        found = ctx.step.run("day", day)
        ctx.step.sleep("wait", "1s")
        ctx.step.run("bad", object)
        return found.isoformat()

    async with open_(order) as h:
        run = await h.send(ORDERED)
        await h.skip_time()

        assert ("2030-01-02", "Failed") == (run.step("day").output, run.status)
        assert "JSON cannot carry" in run.error.message


async def test_logs_of_functions_are_kept(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    def order(ctx: ContextSync) -> None:
        ctx.step.run("a", lambda: None)
        ctx.logger.info("charged %s", ctx.event.data["id"])

    async with open_(order) as h:
        run = await h.send(ORDERED)

        (record,) = h.logs
        assert ("charged A-1", "INFO", run.id) == (record.getMessage(), record.levelname, record.__dict__["run_id"])
    assert [] == [one for one in client.logger.handlers if isinstance(one, LogCapture)]


def test_sync_functions_run_in_the_thread_of_a_sync_test(client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    def order(ctx: ContextSync) -> int:
        return ctx.step.run("a", threading.get_ident)

    with HarnessSync(client, [order]) as h:
        run = h.send(ORDERED)
        h.run_until_idle()

        assert threading.get_ident() == run.output


async def test_two_harnesses_of_one_client_do_not_mix(client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    async def order(ctx: Context) -> None:
        await ctx.step.send_event("tell", Event(name="shop/shipped"))

    async with Harness(client, [order]) as first:
        run = await first.send(ORDERED)
        async with Harness(client, [order]) as second:
            await first.run_until_idle()

            assert ("Completed", 1, 0) == (run.status, len(first.sent_events), len(second.runs))


async def test_code_that_takes_real_time_is_waited_for(client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    async def order(ctx: Context) -> str:
        await ctx.step.run("ask", asyncio.sleep, 0.02)
        await asyncio.to_thread(time.sleep, 0.02)
        return "done"

    async with Harness(client, [order]) as h:
        run = await h.send(ORDERED)
        await h.run_until_idle()

        assert "done" == run.output


async def test_middleware_takes_part_and_outputs_are_encrypted_as_in_production(open_: Open, client: Inngest) -> None:
    pytest.importorskip("nacl", reason="stepserve[encryption] is not installed")
    from stepserve.encryption import EncryptionMiddleware

    client.add_middleware(EncryptionMiddleware.factory("secret" * 6))

    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    def order(ctx: ContextSync) -> str:
        found = ctx.step.run("read", lambda: "plain")
        ctx.step.sleep("wait", "1s")
        return found if found == "plain" else "not decrypted"

    async with open_(order) as h:
        h.stub("read", "plain")
        run = await h.send(ORDERED)
        await h.skip_time()

        assert "Completed" == run.status
        assert "plain" not in str(run.output)
        assert "plain" not in str(run.step("read").output)


@pytest.mark.parametrize("batch_steps", [1, 4])
@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_with_checkpointing_functions_go_on_after_each_step(
    open_: Open, client: Inngest, is_async: bool, batch_steps: int
) -> None:
    calls: list[str] = []

    async def order(ctx: Context) -> list[int]:
        calls.append("call")
        return [await ctx.step.run(f"step {n}", int, n) for n in range(10)]

    def order_sync(ctx: ContextSync) -> list[int]:
        calls.append("call")
        return [ctx.step.run(f"step {n}", int, n) for n in range(10)]

    decorate: Any = client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
    function = decorate(order if is_async else order_sync)
    async with open_(function, checkpointing=Checkpointing(batch_steps=batch_steps), timeout=5) as h:
        h.stub("step 9", ValueError("once"), 9)
        run = await h.send(ORDERED)
        await h.skip_time()

        # The failed attempt, its retry, which is an answer by itself, and the rest: not eleven.
        assert (list(range(10)), 3) == (run.output, len(calls))
        assert [0.0] * 10 == [step.duration.total_seconds() for step in run.steps]
