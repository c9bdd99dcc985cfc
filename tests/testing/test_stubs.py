"""Stubs take the place of steps, by the ids that functions give them."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
import pytest

from stepserve import Context, ContextSync, Event, FetchResponse, Function, Inngest, StepError, TriggerEvent
from stepserve.experimental.ai.openai import Adapter
from stepserve.testing import Harness, HarnessError, HarnessSync, StubError, UnstubbedStepError
from tests.testing.conftest import Open

pytestmark = pytest.mark.anyio

ORDERED = Event(name="shop/ordered", data={"id": "A-1"})
TRIGGER = TriggerEvent(event="shop/ordered")


class Receipt(pydantic.BaseModel):
    """What a step returns."""

    number: int


def charge(order: str, amount: int) -> Receipt:
    """Never called here."""
    raise AssertionError(f"{order} was really charged {amount}")


def order_function(client: Inngest, *, is_async: bool) -> Function[Any]:
    """Return a function with one step that must not run."""
    decorate = client.create_function(fn_id="order", trigger=TRIGGER, retries=2)
    if is_async:

        async def order(ctx: Context) -> int:
            return (await ctx.step.run("charge", charge, "A-1", 5)).number

        return decorate(order)

    def order_sync(ctx: ContextSync) -> int:
        return ctx.step.run("charge", charge, "A-1", 5).number

    return decorate(order_sync)


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Receipt(number=7)], ("Completed", 7, 1)),
        ([{"number": 7}], ("Completed", 7, 1)),
        ([lambda order, amount: Receipt(number=len(order) + amount)], ("Completed", 8, 1)),
        ([TimeoutError("slow"), Receipt(number=7)], ("Completed", 7, 2)),
        ([TimeoutError], ("Failed", None, 3)),
        ([TimeoutError("slow"), lambda *_: Receipt(number=9), AssertionError], ("Completed", 9, 2)),
    ],
)
async def test_a_stub_comes_out_in_place_of_the_handler(
    open_: Open, client: Inngest, is_async: bool, outcomes: list[Any], expected: tuple[str, Any, int]
) -> None:
    async with open_(order_function(client, is_async=is_async)) as h:
        h.stub("charge", *outcomes)
        run = await h.send(ORDERED)
        await h.skip_time()

        assert expected == (run.status, run.output, run.step("charge").attempts)


async def test_a_sequence_begins_anew_with_each_run_and_repeat(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TRIGGER)
    def order(ctx: ContextSync) -> list[int]:
        return [ctx.step.run("charge", lambda: 0) for _ in range(2)]

    async with open_(order) as h:
        h.stub("charge", ValueError("first"), 1)
        runs = [await h.send(ORDERED) for _ in range(2)]
        await h.skip_time()

        assert [[1, 1]] * 2 == [run.output for run in runs]
        assert [2, 2] == [runs[1].step("charge", index).attempts for index in (0, 1)]


async def test_a_stub_may_be_for_one_function_only_and_be_taken_back(open_: Open, client: Inngest) -> None:
    def named(fn_id: str) -> Function[Any]:
        @client.create_function(fn_id=fn_id, trigger=TRIGGER)
        def function(ctx: ContextSync) -> str:
            return ctx.step.run("who", lambda: "real")

        return function

    first, second = named("first"), named("second")
    async with open_(first, second) as h:
        h.stub("who", "any")
        h.stub("who", "first's", function=first)
        await h.send(ORDERED)
        h.unstub("who")
        h.unstub("who", function="first")
        await h.send(ORDERED)

        found = sorted((run.function_id, run.output) for run in h.runs)
        assert [("first", "first's"), ("first", "real"), ("second", "any"), ("second", "real")] == found


def server_function(client: Inngest) -> Function[Any]:
    """Return a function with one step of every kind that only a server does."""

    @client.create_function(fn_id="order", trigger=TRIGGER)
    async def order(ctx: Context) -> Any:
        paid = await ctx.step.wait_for_event("paid", event="shop/paid", timeout="1d")
        signal = await ctx.step.wait_for_signal("signal", signal="go", timeout="1d")
        invoked = await ctx.step.invoke_by_id("rate", function_id="rate", data={"n": 1})
        fetched = await ctx.step.fetch("fetch", "https://shop.example/x", method="POST", body="ping")
        adapter = Adapter(auth_key="k", model="m")
        inferred = await ctx.step.ai.infer("ask", adapter=adapter, body={"messages": []})
        answers = await asyncio.gather(
            ctx.step.invoke_by_id("left", function_id="x"), ctx.step.invoke_by_id("right", function_id="y")
        )
        return [
            paid and paid.data,
            signal and signal.data,
            invoked,
            fetched.body,
            fetched.status_code,
            inferred,
            answers,
        ]

    return order


async def test_what_a_server_does_is_stubbed_with_values(open_: Open, client: Inngest) -> None:
    async with open_(server_function(client)) as h:
        h.stub("paid", Event(name="shop/paid", data={"by": "card"}))
        h.stub("signal", {"k": 1})
        h.stub("rate", 5)
        h.stub("fetch", FetchResponse(201, {"x-a": "b"}, "pong"))
        h.stub("ask", {"choices": []})
        h.stub("left", 1)
        h.stub("right", 2)
        run = await h.send(ORDERED)

        assert [{"by": "card"}, {"k": 1}, 5, "pong", 201, {"choices": []}, [1, 2]] == run.output, run.error
        assert "WaitForEvent" == run.step("paid").op


async def test_what_a_server_does_is_stubbed_with_callables_and_errors(open_: Open, client: Inngest) -> None:
    seen: list[Any] = []

    def note(value: Any, outcome: Any) -> Any:
        seen.append(value)
        return outcome

    async with open_(server_function(client)) as h:
        h.stub("paid", None)
        h.stub("signal", lambda: None)
        h.stub("rate", lambda data: note(data, "rated"))
        h.stub("fetch", OSError("no route"), lambda request: note(request["body"], "pong"))
        h.stub("ask", lambda body: note(body["model"], {}))
        h.stub("left", 1)
        h.stub("right", KeyError("right"))
        run = await h.send(ORDERED)
        await h.skip_time()

        assert [{"n": 1}, "ping", "m"] == seen
        assert ("Failed", "KeyError") == (run.status, run.error.name)
        assert (None, None, "pong") == (
            run.step("paid").output,
            run.step("signal").output,
            run.step("fetch").output["body"],
        )
        assert 2 == run.step("fetch").attempts


async def test_a_failed_step_of_the_server_can_be_caught(open_: Open, client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TRIGGER)
    def order(ctx: ContextSync) -> str:
        try:
            ctx.step.invoke_by_id("rate", function_id="rate")
        except StepError as error:
            return f"{error.name}: {error.message}"
        return "no error"

    async with open_(order) as h:
        h.stub("rate", ValueError("no rate"))
        run = await h.send(ORDERED)

        assert "ValueError: no rate" == run.output


@pytest.mark.parametrize(
    ("step_id", "outcomes", "error", "message"),
    [
        ("charge", [], StubError, "needs what comes of the step"),
        ("nap", [None], StubError, "step 'nap' sleeps: move the clock on"),
        ("rate", [asyncio.sleep], StubError, "the stub of step 'rate' is async"),
    ],
)
def test_a_stub_that_cannot_be_is_refused(
    client: Inngest, step_id: str, outcomes: list[Any], error: type[HarnessError], message: str
) -> None:
    @client.create_function(fn_id="order", trigger=TRIGGER)
    def order(ctx: ContextSync) -> None:
        ctx.step.invoke_by_id("rate", function_id="rate", data={})
        ctx.step.sleep("nap", "1s")

    with HarnessSync(client, [order]) as h:
        h.stub("rate", None)

        def run() -> None:
            h.stub(step_id, *outcomes)
            h.send(ORDERED)
            h.run_until_idle()

        with pytest.raises(error, match=message):
            run()


async def test_a_request_to_the_outside_needs_a_stub(client: Inngest) -> None:
    @client.create_function(fn_id="order", trigger=TRIGGER)
    async def order(ctx: Context) -> None:
        await ctx.step.fetch("look", "https://shop.example/x")

    async with Harness(client, [order]) as h:
        await h.send(ORDERED)
        with pytest.raises(UnstubbedStepError, match=r"step 'look' would send a request to https://shop.example/x"):
            await h.run_until_idle()
