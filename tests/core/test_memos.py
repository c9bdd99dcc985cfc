"""How memos are read, in all the shapes that servers send (protocol.md 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

import stepserve_core as core
from stepserve_core._serialize import UNSET
from tests.core.calls import call, dev_client, hashed
from tests.core.colours import hook


def never(*args: object) -> object:
    """Stand for a step that must not run again."""
    raise AssertionError(f"a memoised step ran again, with {args}")


class Seeing(core.MiddlewareSync):
    """Makes the engine read all memos beforehand, because middleware may look at them."""

    def transform_input(self, ctx: Any, function: Any, steps: core.StepMemos) -> None:
        del ctx, function
        self.count = steps.size


@pytest.fixture(params=[[], [Seeing]], ids=["plain", "with middleware"])
def client(request: pytest.FixtureRequest) -> core.Inngest:
    """Run a test without and with middleware that sees the memos."""
    return dev_client(middleware=request.param)


FALSY: list[object] = [None, 0, 0.0, False, "", [], {}]
VALUES: list[object] = [
    *FALSY,
    1,
    -1.5,
    True,
    "text",
    [1, [2]],
    {"x": {"y": None}},
    {"data": 1},
    {"error": 1},
    {"input": [1]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_wrapped_value_comes_back_as_it_was(colour: str, client: core.Inngest, value: object) -> None:
    async def body(ctx: Any) -> list[object]:
        return [await ctx.step.run("a", never)]

    reply = call(colour, body, client=client, steps={hashed("a"): {"data": value}})

    assert (200, [value]) == (reply.status, reply.json)
    assert type(value) is type(reply.json[0])


@pytest.mark.parametrize("value", FALSY, ids=repr)
def test_a_falsy_output_survives_at_both_levels(colour: str, client: core.Inngest, value: object) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: value)

    step = call(colour, body, client=client)
    function = call(colour, body, client=client, steps={hashed("a"): {"data": value}})

    assert (206, "StepRun", value) == (step.status, step.json[0]["op"], step.json[0]["data"])
    assert (200, value) == (function.status, function.json)


@pytest.mark.parametrize(
    ("memo", "expected"),
    [
        (None, None),
        ({}, None),
        ({"data": 1, "error": None}, 1),
        ({"error": None}, None),
        (5, 5),
        ("text", "text"),
        ([1], [1]),
        (False, False),
        ({"other": 1}, {"other": 1}),
        ({"data": 1, "other": 2}, {"data": 1, "other": 2}),
        ({"input": [1], "other": 2}, {"input": [1], "other": 2}),
        ({"input": 5}, {"input": 5}),
        ({"error": "text"}, {"error": "text"}),
        ({"error": {"name": "no message"}}, {"error": {"name": "no message"}}),
        ({"error": {"message": 5, "name": "X"}}, {"error": {"message": 5, "name": "X"}}),
    ],
    ids=repr,
)
def test_what_is_no_wrapper_is_the_value_itself(
    colour: str, client: core.Inngest, memo: object, expected: object
) -> None:
    async def body(ctx: Any) -> list[object]:
        return [await ctx.step.run("a", never)]

    reply = call(colour, body, client=client, steps={hashed("a"): memo})

    assert (200, [expected]) == (reply.status, reply.json)


@pytest.mark.parametrize(
    ("error", "name", "stack"),
    [
        ({"message": "boom", "name": "ValueError", "stack": "Traceback"}, "ValueError", "Traceback"),
        ({"message": "boom", "name": "ValueError"}, "ValueError", None),
        ({"message": "boom", "name": "ValueError", "stack": None}, "ValueError", None),
        ({"message": "boom"}, "Error", None),
        ({"message": "boom", "name": "X", "noRetry": True, "cause": {"name": "Y", "message": "z"}}, "X", None),
        ({"error": "NonRetriableError", "message": "boom", "name": "X", "stack": "s", "data": 1}, "X", "s"),
        ({"message": "boom", "name": 5, "stack": 5}, "5", None),
    ],
)
def test_the_memo_of_a_failure_is_raised(
    colour: str, client: core.Inngest, error: dict[str, Any], name: str, stack: str | None
) -> None:
    async def body(ctx: Any) -> list[object]:
        try:
            await ctx.step.run("a", never)
        except core.StepError as raised:
            return [raised.message, str(raised), raised.name, raised.stack]
        raise AssertionError("the memo was not raised")

    reply = call(colour, body, client=client, steps={hashed("a"): {"error": error}})

    assert (200, ["boom", "boom", name, stack]) == (reply.status, reply.json)


def test_a_failure_that_escapes_ends_the_run_and_keeps_its_name_and_stack(colour: str, client: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", never)

    error = {"message": "boom", "name": "ValueError", "stack": "Traceback of old"}
    reply = call(colour, body, client=client, steps={hashed("a"): {"error": error}})

    assert (500, {**error, "code": "step_errored"}) == (reply.status, reply.json)
    assert "true" == reply.headers["x-inngest-no-retry"]


EVENT_MEMO = {"data": {"k": "v"}, "id": "01M8", "name": "yes/x", "ts": 1_795_365_468_459, "user": {"u": 1}}


@pytest.mark.parametrize(
    ("memo", "expected"),
    [
        (EVENT_MEMO, ["yes/x", {"k": "v"}, "01M8", 1_795_365_468_459]),
        ({**EVENT_MEMO, "v": "2", "meta": {}}, ["yes/x", {"k": "v"}, "01M8", 1_795_365_468_459]),
        ({"name": "yes/x"}, ["yes/x", {}, "", 0]),
        ({"name": "yes/x", "data": None, "id": None, "ts": None}, ["yes/x", {}, "", 0]),
        ({"data": EVENT_MEMO}, ["yes/x", {"k": "v"}, "01M8", 1_795_365_468_459]),
        (None, None),
        ({"data": None}, None),
    ],
    ids=repr,
)
def test_the_memo_of_a_wait_is_an_event_or_none(
    colour: str, client: core.Inngest, memo: object, expected: object
) -> None:
    async def body(ctx: Any) -> object:
        event = await ctx.step.wait_for_event("w", event="yes/x", timeout=60_000)
        assert event is None or isinstance(event, core.Event)
        return event and [event.name, event.data, event.id, event.ts]

    reply = call(colour, body, client=client, steps={hashed("w"): memo})

    assert (200, expected) == (reply.status, reply.json)


@pytest.mark.parametrize("memo", [None, {"data": None}, {"data": 5}, {}, "x"], ids=repr)
def test_a_sleep_gives_none_whatever_its_memo_is(colour: str, client: core.Inngest, memo: object) -> None:
    async def body(ctx: Any) -> object:
        return [await ctx.step.sleep("s", 1000), await ctx.step.sleep("s", 1000)]

    steps = {hashed("s"): memo, hashed("s:1"): memo}
    reply = call(colour, body, client=client, steps=steps)

    assert (200, [None, None]) == (reply.status, reply.json)


def test_an_invocation_gives_what_the_function_returned(colour: str, client: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.invoke_by_id("i", function_id="g")

    reply = call(colour, body, client=client, steps={hashed("i"): {"data": {"x": 1}}})

    assert (200, {"x": 1}) == (reply.status, reply.json)


def test_an_invocation_that_timed_out_raises(colour: str, client: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        try:
            return await ctx.step.invoke_by_id("i", function_id="g")
        except core.StepError as error:
            return [error.name, error.message]

    text = "Timed out waiting for invoked function to complete"
    memo = {
        "error": {"error": f"InngestInvokeTimeoutError: {text}", "message": text, "name": "InngestInvokeTimeoutError"}
    }
    reply = call(colour, body, client=client, steps={hashed("i"): memo})

    assert ["InngestInvokeTimeoutError", text] == reply.json


def test_unknown_memos_do_not_matter(colour: str, client: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: "ran")

    reply = call(colour, body, client=client, steps={hashed("gone"): {"data": 1}, "no hash": None})

    assert (206, "ran") == (reply.status, reply.json[0]["data"])


# A re-run from a step with edited input


def double(*numbers: int) -> list[int]:
    """Do the work of a step."""
    return [2 * number for number in numbers]


async def doubling(ctx: Any) -> object:
    """Run one step whose input may be edited."""
    return await ctx.step.run("a", double, 1, 2)


def test_a_step_with_edited_input_runs_with_it(colour: str, client: core.Inngest) -> None:
    reply = call(colour, doubling, client=client, steps={hashed("a"): {"input": [10, 20, 30]}}, stack=[])

    assert (206, "StepRun", [20, 40, 60]) == (reply.status, reply.json[0]["op"], reply.json[0]["data"])


def test_a_step_with_edited_input_is_planned_like_any_other(colour: str, client: core.Inngest) -> None:
    steps = {hashed("a"): {"input": [10]}}

    reply = call(colour, doubling, client=client, steps=steps, stack=[], plan_only=True)

    assert [(hashed("a"), "StepPlanned", None)] == [(op["id"], op["op"], op["data"]) for op in reply.json]


def test_a_targeted_step_with_edited_input_runs_with_it(colour: str, client: core.Inngest) -> None:
    steps = {hashed("a"): {"input": [10]}}

    reply = call(colour, doubling, client=client, steps=steps, stack=[], plan_only=True, target=hashed("a"))

    assert [("StepRun", [20])] == [(op["op"], op["data"]) for op in reply.json]


def test_edited_input_of_another_step_does_not_matter(colour: str, client: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        return [await ctx.step.run("a", double, 1), await ctx.step.run("b", double, 2)]

    steps = {hashed("a"): {"data": ["memo"]}, hashed("b"): {"input": [50]}}
    reply = call(colour, body, client=client, steps=steps, stack=[hashed("a")])

    assert [("b", [100])] == [(op["displayName"], op["data"]) for op in reply.json]


# Middleware that changes memos


def test_middleware_may_change_and_take_away_memos(colour: str) -> None:
    class Changing(core.Middleware):
        def change(self, ctx: Any, function: Any, steps: core.StepMemos) -> None:
            del ctx, function
            taken = steps.pop(hashed("b"))
            assert taken is not UNSET
            assert steps.pop(hashed("b")) is UNSET
            for memo in steps.values():
                memo.data = [memo.data, taken.data, steps.size]

        transform_input = hook(colour, change)

    async def body(ctx: Any) -> object:
        return await ctx.step.run("b", lambda a: ["again", a], await ctx.step.run("a", never))

    steps = {hashed("a"): {"data": 1}, hashed("b"): {"data": 2}}
    reply = call(colour, body, client=dev_client(middleware=[Changing]), steps=steps)

    assert [("b", ["again", [1, 2, 1]])] == [(op["displayName"], op["data"]) for op in reply.json]
