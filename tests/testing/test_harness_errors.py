"""What the harness says when a test asks for something that is not so."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import Any

import pytest

from stepserve import Context, ContextSync, Event, Inngest, TriggerCron, TriggerEvent
from stepserve.testing import (
    BlockedError,
    Harness,
    HarnessError,
    HarnessSync,
    NeverIdleError,
    NoRunError,
    UnknownStepError,
)
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor import Executor, limits
from stepserve_core.testing import run_sync
from tests.testing.conftest import Open, settled

pytestmark = pytest.mark.anyio

ORDERED = Event(name="shop/ordered", data={"id": "A-1"})
TRIGGER = TriggerEvent(event="shop/ordered")


def steps_function(client: Inngest, fn_id: str = "order") -> Any:
    """Return a function of three steps, two of the same id."""

    @client.create_function(fn_id=fn_id, trigger=TRIGGER)
    def order(ctx: ContextSync) -> None:
        ctx.step.run("charge", lambda: 1)
        ctx.step.run("pack", lambda: 1)
        ctx.step.run("pack", lambda: 2)

    return order


async def test_an_unknown_step_names_the_known_ones(open_: Open, client: Inngest) -> None:
    async with open_(steps_function(client)) as h:
        run = await h.send(ORDERED)

        with pytest.raises(
            UnknownStepError, match=r"run of 'order' \(Completed\) has no step 'charg'; known: 'charge', 'pack'"
        ):
            run.step("charg")
        with pytest.raises(UnknownStepError, match="only 2 times, not at index 2"):
            run.step("pack", 2)
        assert "<Run order Completed: charge Completed, pack Completed, pack Completed>" == repr(run)


async def test_an_event_without_a_run_names_the_events_that_start_functions(open_: Open, client: Inngest) -> None:
    async with open_(steps_function(client)) as h:
        run = await h.send(Event(name="shop/order"))

        with pytest.raises(NoRunError, match=r"event 'shop/order' has started no run .*: shop/ordered"):
            str(run.status)
        assert "<Run of event 'shop/order': 0 runs>" == repr(run)


async def test_an_event_with_several_runs_names_their_functions(open_: Open, client: Inngest) -> None:
    async with open_(steps_function(client), steps_function(client, "other")) as h:
        run = await h.send(ORDERED)

        with pytest.raises(NoRunError, match=r"started 2 runs, of '(order|other)', '(order|other)'; .* h.runs"):
            str(run.output)


async def test_functions_that_start_each_other_for_ever_are_stopped(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="ping", trigger=TriggerEvent(event="shop/ping"))
    async def ping(ctx: Context) -> None:
        await ctx.step.send_event("pong", Event(name="shop/pong"))

    @client.create_function(fn_id="pong", trigger=TriggerEvent(event="shop/pong"))
    def pong(ctx: ContextSync) -> None:
        ctx.step.send_event("ping", Event(name="shop/ping"))

    async with open_(ping, pong, max_calls=50) as h:
        with pytest.raises(
            NeverIdleError, match=r"after 50 calls: 'p.ng' .* times, 'p.ng' .*last events were shop/ping, shop/pong"
        ):
            await h.send(Event(name="shop/ping"))


async def test_a_schedule_that_fires_too_often_is_stopped(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="minutely", trigger=TriggerCron(cron="* * * * *"))
    def minutely(ctx: ContextSync) -> None:
        del ctx

    async with open_(minutely, max_calls=50) as h:
        await h.advance("50m")
        with pytest.raises(NeverIdleError, match=r"'minutely' 51 times.*a schedule fire often"):
            await h.advance("10d")


async def test_a_loop_without_end_inside_a_function_ends_at_the_limit_of_steps(
    open_: Open, client: Inngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STEPS_PER_RUN", 20)

    @client.create_function(fn_id="loop", trigger=TRIGGER)
    def loop(ctx: ContextSync) -> None:
        while True:
            ctx.step.sleep("again", "1m")

    async with open_(loop) as h:
        run = await h.send(ORDERED)
        await h.skip_time()

        assert ("Failed", "InngestErrFunctionOverflowed") == (run.status, run.error.name)


async def test_a_function_that_waits_for_the_outside_is_named_with_its_line(open_: Open, client: Inngest) -> None:
    async def answer() -> None:
        await asyncio.Event().wait()

    @client.create_function(fn_id="order", trigger=TRIGGER)
    async def order(ctx: Context) -> None:
        await ctx.step.run("charge", lambda: 1)
        await ctx.step.run("ask", answer)

    async with open_(order, timeout=0.05) as h:
        with pytest.raises(
            BlockedError,
            match=r"'order', run \w+, attempt 0, at .*test_harness_errors.py:\d+ in answer\(\); .*'charge'",
        ):
            await h.send(ORDERED)
        h.stub("ask", None)
        (run,) = h.runs
        await h.skip_time()
        assert "Completed" == run.status


async def test_a_blocked_thread_is_named_too(client: Inngest) -> None:
    free = threading.Event()

    @client.create_function(fn_id="order", trigger=TRIGGER)
    def order(ctx: ContextSync) -> None:
        free.wait(5)

    async with Harness(client, [order], timeout=0.05) as h:
        await h.send(ORDERED)
        with pytest.raises(BlockedError, match=r"'order'.*test_harness_errors.py:\d+ in order\(\)"):
            await h.run_until_idle()
        free.set()


def test_a_harness_needs_functions(client: Inngest) -> None:
    with pytest.raises(ConfigurationError, match="a harness needs functions"):
        HarnessSync(client, [])
    given: Any = [steps_function(client), len]
    with pytest.raises(
        ConfigurationError, match=r"made by @client.create_function\(…\), not builtin_function_or_method"
    ):
        HarnessSync(client, given)


async def test_after_its_end_a_harness_says_that_it_is_closed(open_: Open, client: Inngest) -> None:
    async with open_(steps_function(client)) as h:
        run = await h.send(ORDERED)

    with pytest.raises(HarnessError, match=r"the harness is closed: .* inside its `with` block"):
        str(run.status)
    with pytest.raises(HarnessError, match="the harness is closed"):
        await h.send(ORDERED)


@pytest.mark.parametrize("data", [5, "text", [1]])
async def test_a_function_is_invoked_with_an_object(open_: Open, client: Inngest, data: object) -> None:
    function = steps_function(client)
    async with open_(function) as h:
        with pytest.raises(HarnessError, match=rf"h.invoke\('order', …\) must be an object.*not {type(data).__name__}"):
            await settled(h.invoke(function, data))


def test_without_asyncio_a_harness_says_what_it_runs_on(client: Inngest) -> None:
    harness = Harness(client, [steps_function(client)])

    with pytest.raises(HarnessError, match=r"on asyncio, .* `anyio_backend` that returns 'asyncio'"):
        harness.run_until_idle().send(None)
    run_sync(harness.close())


def test_what_functions_raise_has_no_other_cause(client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TRIGGER, retries=0)
    def order(ctx: ContextSync) -> None:
        raise LookupError("gone")

    with HarnessSync(client, [order]) as h:
        run = h.send(ORDERED)
        h.run_until_idle()

        assert run.error is not None
        assert "During handling" not in (run.error.stack or "During handling")


def test_a_harness_that_cannot_be_opened_leaves_no_event_loop_and_no_database(
    client: Inngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr(Executor, "prepare", fail)
    harness = HarnessSync(client, [steps_function(client)])

    with pytest.raises(OSError, match="no"):
        harness.__enter__()
    assert harness._runner is None
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        harness._session.executor.store.look(lambda tables: tables.queue.next_due())
