"""Replay tests: code that would not do what a recorded run did is found, and the first step that differs is named."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from stepserve import Context, ContextSync, Event, Function, Inngest, TriggerEvent
from stepserve.testing import HarnessSync, ReplayError, assert_replays
from stepserve_core.errors import ConfigurationError
from stepserve_core.history import History, HistoryInvalidError, read_history

TRIGGER = TriggerEvent(event="shop/ordered")
ORDERED = Event(name="shop/ordered", data={"id": "A-1"})


def define(client: Inngest, handler: Callable[[Any], Any], **options: Any) -> Function[Any]:
    """Make a function of `handler`."""
    arguments: dict[str, Any] = {"fn_id": "order", "trigger": TRIGGER, "retries": 0, **options}
    function: Function[Any] = client.create_function(**arguments)(handler)
    return function


def record(client: Inngest, function: Function[Any], **stubs: Any) -> History:
    """Run a function to its end, and return what it did."""
    with HarnessSync(client, [function]) as h:
        for step_id, stub in stubs.items():
            h.stub(step_id, stub)
        run = h.send(ORDERED)
        h.run_until_idle(skip_time=True)
        return run.history()


def order(ctx: ContextSync) -> list[Any]:
    charged = ctx.step.run("charge", lambda: "charged")
    ctx.step.sleep("wait", "1h")
    invoked = ctx.step.invoke_by_id("invoice", function_id="invoice")
    return [charged, invoked, ctx.step.run("ship", lambda: "shipped")]


async def order_async(ctx: Context) -> list[Any]:
    charged = await ctx.step.run("charge", lambda: "charged")
    await ctx.step.sleep("wait", "1h")
    invoked = await ctx.step.invoke_by_id("invoice", function_id="invoice")
    return [charged, invoked, await ctx.step.run("ship", lambda: "shipped")]


def explode() -> None:
    """Never called: a replay executes nothing."""
    raise AssertionError("a step was executed")


def unchanged(ctx: ContextSync) -> None:
    client_of_nobody = Inngest(app_id="shop", is_production=True)
    client_of_nobody.send_sync(Event(name="shop/nobody"))
    ctx.step.run("charge", explode)
    ctx.step.sleep("wait", "9h")
    ctx.step.invoke_by_id("invoice", function_id="other")
    ctx.step.run("ship", explode)


def renamed(ctx: ContextSync) -> None:
    ctx.step.run("charge-card", explode)


def missing(ctx: ContextSync) -> None:
    ctx.step.run("charge", explode)
    ctx.step.sleep("wait", "1h")


def left_out(ctx: ContextSync) -> None:
    ctx.step.run("charge", explode)
    ctx.step.invoke_by_id("invoice", function_id="invoice")


def reordered(ctx: ContextSync) -> None:
    ctx.step.sleep("wait", "1h")
    ctx.step.run("charge", explode)


def other_kind(ctx: ContextSync) -> None:
    ctx.step.run("charge", explode)
    ctx.step.wait_for_event("wait", event="shop/paid", timeout="1h")


def added(ctx: ContextSync) -> None:
    order(ctx)
    ctx.step.run("audit", explode)


def beside(ctx: ContextSync) -> None:
    ctx.group.parallel((lambda: ctx.step.run("charge", explode), lambda: ctx.step.run("audit", explode)))


def failing(ctx: ContextSync) -> None:
    ctx.step.run("charge", explode)
    raise ValueError("changed my mind")


def failing_at_the_end(ctx: ContextSync) -> None:
    order(ctx)
    raise ValueError("changed my mind")


@pytest.mark.parametrize("recorded", [order, order_async])
@pytest.mark.parametrize("today", [order, order_async, unchanged])
def test_code_that_does_the_same_replays(client: Inngest, recorded: Any, today: Any) -> None:
    history = record(client, define(client, recorded), invoice=1)

    assert ["charge", "wait", "invoice", "ship"] == [step.name for step in history.steps]
    assert_replays(define(client, today), history)


@pytest.mark.parametrize(
    ("today", "step", "message"),
    [
        (
            renamed,
            "charge",
            r"'charge', number 1 of 4 .* is missing: .* has 'charge-card' in its place. Was it renamed",
        ),
        (missing, "invoice", "'invoice', number 3 of 4 in the history, is missing: the code of today ends without it"),
        (left_out, "wait", "'wait', number 2 of 4 .* comes in another order today: 'invoice' comes before it"),
        (reordered, "charge", "'charge', number 1 of 4 .* comes in another order today: 'wait' comes before it"),
        (other_kind, "wait", "'wait' is a WaitForEvent today; in the history it is a Sleep"),
        (added, "audit", "'audit' is new: the run ended without it"),
        (beside, "audit", "'audit' is new: the history does not have it beside 'charge'"),
        (failing, "wait", "'wait', number 2 of 4 .* is not reached today: the code fails with ValueError: changed my"),
        (failing_at_the_end, None, "after its last step, the code of today fails with ValueError: changed my mind"),
    ],
)
def test_the_first_step_that_differs_is_named(client: Inngest, today: Any, step: str | None, message: str) -> None:
    history = record(client, define(client, order), invoice=1)

    with pytest.raises(ReplayError, match=message) as caught:
        assert_replays(define(client, today), history)
    assert step == caught.value.step


async def parallel(ctx: Context) -> list[Any]:
    return [await asyncio.gather(*(ctx.step.run(name, str, name) for name in "abc")), await ctx.step.run("d", str, "d")]


async def racing(ctx: Context) -> str:
    tasks = [asyncio.ensure_future(ctx.step.run("quick", str, 1)), asyncio.ensure_future(ctx.step.sleep("slow", "1h"))]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return await ctx.step.run("after", str, len(done))


@pytest.mark.parametrize("function", [parallel, racing])
def test_parallel_steps_replay_in_the_order_in_which_they_finished(client: Inngest, function: Any) -> None:
    assert_replays(define(client, function), record(client, define(client, function)))


def test_runs_that_failed_replay_and_so_do_their_handlers(client: Inngest) -> None:
    def fail(ctx: ContextSync) -> None:
        ctx.step.run("charge", explode)

    def failed(ctx: ContextSync) -> None:
        ctx.step.run("ticket", lambda: 1)

    function = define(client, fail, on_failure=failed)
    with HarnessSync(client, [function]) as h:
        h.stub("charge", ValueError("refused"))
        h.send(ORDERED)
        h.run_until_idle()
        histories = [run.history() for run in h.runs]

    assert ["shop-order", "shop-order-failure"] == [history.function for history in histories]
    for history in histories:
        assert_replays(function, history)


def test_a_run_that_goes_on_may_reach_new_steps_after_what_it_did(client: Inngest) -> None:
    function = define(client, order)
    with HarnessSync(client, [function]) as h:
        run = h.send(ORDERED)
        h.run_until_idle()
        history = run.history()

    assert "Running" == history.run.status
    assert_replays(function, history)
    with pytest.raises(ReplayError, match="'charge', number 1 of 1"):
        assert_replays(define(client, renamed), history)


def test_a_history_is_read_from_a_file_from_text_and_from_an_object(client: Inngest, tmp_path: pathlib.Path) -> None:
    function = define(client, order)
    history = record(client, function, invoice=1)
    text = history.to_json()
    (tmp_path / "history.json").write_bytes(text)

    for source in (tmp_path / "history.json", str(tmp_path / "history.json"), text, text.decode(), json.loads(text)):
        assert text == read_history(source).to_json()
        assert_replays(function, source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "other"}, "not a history: `stepserve export RUN_ID` writes one"),
        ({"format": "stepserve.history", "version": 2}, "is a history of version 2; this release reads 1"),
        (b"{", "this is not a history"),
        ({"format": "stepserve.history", "version": 1}, "missing required field"),
    ],
)
def test_what_is_no_history_is_refused(client: Inngest, source: Any, message: str) -> None:
    with pytest.raises(HistoryInvalidError, match=message):
        assert_replays(define(client, order), source)


def test_a_history_of_another_function_is_refused(client: Inngest) -> None:
    history = record(client, define(client, order), invoice=1)

    with pytest.raises(ReplayError, match="of the function 'shop-order', not of 'shop-other'"):
        assert_replays(define(client, order, fn_id="other"), history)
    handler: Any = order
    with pytest.raises(ConfigurationError, match=r"made by @client.create_function\(…\), not function"):
        assert_replays(handler, history)
