"""What one call of a function is answered with, in both colours (protocol.md 5.5 to 5.9 and section 6)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import gc
import json
import re
import warnings
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import stepserve_core as core
from stepserve_core import errors
from tests.core.calls import EVENT, Reply, call, dev_client, hashed
from tests.core.colours import Body

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def never(*args: object) -> object:
    """Stand for a step that must not run."""
    raise AssertionError(f"ran with {args}")


def fail(message: str = "boom") -> None:
    """Fail."""
    raise ValueError(message)


def ops(reply: Reply) -> list[tuple[str, str, object]]:
    """Return the name, opcode and data of what was reported."""
    assert 206 == reply.status, reply.json
    return [(op["displayName"], op["op"], op["data"]) for op in reply.json]


class Adapter:
    """Reaches a model that does not exist."""

    def auth_key(self) -> str:
        return "sk"

    def format(self) -> str:
        return "openai-chat"

    def headers(self) -> dict[str, str]:
        return {"h": "1"}

    def on_call(self, body: dict[str, Any]) -> None:
        body["model"] = "m"

    def url_infer(self) -> str:
        return "https://ai.test/chat"


OTHER: core.Function[Any] = core.Inngest(app_id="another app", is_production=False).create_function(
    fn_id="other", trigger=core.TriggerEvent(event="x")
)(lambda ctx: None)


# Ops on the wire (5.6)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (
            lambda step: step.run("a", lambda: {"x": 1}),
            {"op": "StepRun", "name": "a", "opts": None, "data": {"x": 1}},
        ),
        (
            lambda step: step.run("a", lambda *args: list(args), 1, "b"),
            {"op": "StepRun", "name": "a", "opts": {"input": [1, "b"]}, "data": [1, "b"]},
        ),
        (
            lambda step: step.sleep_until("a", datetime.datetime(2030, 1, 2, 3, 4, 5, 678_999, datetime.timezone.utc)),
            {"op": "Sleep", "name": "2030-01-02T03:04:05.678Z", "opts": None, "data": None},
        ),
        (
            lambda step: step.wait_for_event("a", event="yes/x", if_exp="async.data.k == event.data.k", timeout="26h"),
            {
                "op": "WaitForEvent",
                "name": "yes/x",
                "opts": {"if": "async.data.k == event.data.k", "timeout": "26h"},
                "data": None,
            },
        ),
        (
            lambda step: step.wait_for_event("a", event="yes/x", timeout=datetime.timedelta(days=7)),
            {"op": "WaitForEvent", "name": "yes/x", "opts": {"if": None, "timeout": "1w"}, "data": None},
        ),
        (
            lambda step: step.invoke("a", function=OTHER, data={"k": [1]}, timeout=60_000, v="2"),
            {
                "op": "InvokeFunction",
                "name": "a",
                "opts": {"function_id": "app-other", "payload": {"data": {"k": [1]}, "v": "2"}, "timeout": "1m"},
                "data": None,
            },
        ),
        (
            lambda step: step.invoke("a", function=OTHER),
            {
                "op": "InvokeFunction",
                "name": "a",
                "opts": {"function_id": "app-other", "payload": {"data": None, "v": None}, "timeout": None},
                "data": None,
            },
        ),
        (
            lambda step: step.invoke_by_id("a", app_id="shop", function_id="pay"),
            {
                "op": "InvokeFunction",
                "name": "a",
                "opts": {"function_id": "shop-pay", "payload": {"data": None, "v": None}, "timeout": None},
                "data": None,
            },
        ),
        (
            lambda step: step.invoke_by_id("a", function_id="pay"),
            {
                "op": "InvokeFunction",
                "name": "a",
                "opts": {"function_id": "app-pay", "payload": {"data": None, "v": None}, "timeout": None},
                "data": None,
            },
        ),
        (
            lambda step: step.ai.infer("a", adapter=Adapter(), body={"messages": []}),
            {
                "op": "AIGateway",
                "name": "a",
                "opts": {
                    "auth_key": "sk",
                    "body": {"messages": [], "model": "m"},
                    "format": "openai-chat",
                    "headers": {"h": "1"},
                    "type": "step.ai.infer",
                    "url": "https://ai.test/chat",
                },
                "data": None,
            },
        ),
    ],
)
def test_the_op_of_every_kind_of_step(colour: str, use: Any, expected: dict[str, Any]) -> None:
    async def body(ctx: Any) -> None:
        await use(ctx.step)

    reply = call(colour, body)

    userland = {"id": "a", "index": None}
    assert (206, [{"displayName": "a", "id": hashed("a"), "userland": userland, **expected}]) == (
        reply.status,
        reply.json,
    )
    assert ["displayName", "id", "name", "op", "opts", "userland", "data"] == list(reply.json[0])
    assert "x-inngest-no-retry" not in reply.headers


@pytest.mark.parametrize("duration", [0, -5000, 1, 1500, 3_600_000, datetime.timedelta(days=3), "3d", "1h30m"])
def test_a_sleep_names_the_moment_at_which_it_ends(colour: str, duration: Any) -> None:
    async def body(ctx: Any) -> None:
        await ctx.step.sleep("a", duration)

    before = datetime.datetime.now(datetime.timezone.utc)
    (op,) = call(colour, body).json
    after = datetime.datetime.now(datetime.timezone.utc)

    in_words: dict[object, Any] = {"3d": datetime.timedelta(days=3), "1h30m": datetime.timedelta(minutes=90)}
    length = in_words.get(duration, duration)
    length = datetime.timedelta(milliseconds=length) if isinstance(length, int) else length
    assert ISO.fullmatch(op["name"])
    until = datetime.datetime.fromisoformat(op["name"].replace("Z", "+00:00"))
    assert before + length - datetime.timedelta(milliseconds=1) <= until <= after + length


@pytest.mark.parametrize(
    ("use", "complaint"),
    [
        (lambda step: step.wait_for_event("a", event="x", timeout=999), "at least 1 second"),
        (lambda step: step.wait_for_event("a", event="x", timeout="soon"), "'soon' is not a duration"),
        (lambda step: step.invoke_by_id("a", function_id="g", timeout=1500), "whole number of seconds"),
        (lambda step: step.sleep("a", "soon"), "'soon' is not a duration"),
        (lambda step: step.sleep("a", 1.5), "a duration is an int"),
        (lambda step: step.run(5, never), "a step id is text"),
        (lambda step: step.run(None, never), "a step id is text"),
    ],
)
def test_a_step_that_cannot_be_asked_for_is_an_error_of_the_function(colour: str, use: Any, complaint: str) -> None:
    async def body(ctx: Any) -> None:
        await use(ctx.step)

    reply = call(colour, body)

    assert 500 == reply.status
    assert complaint in reply.json["message"]


@pytest.mark.parametrize("value", [None, 0, "x", [1], {"x": {"y": 2}}])
def test_what_the_function_returns_is_the_body(colour: str, value: object) -> None:
    async def body(ctx: Any) -> object:
        del ctx
        return value

    reply = call(colour, body)

    assert (200, value) == (reply.status, reply.json)


# What the function is given


def test_the_context_tells_about_the_run(colour: str) -> None:
    async def body(ctx: Any) -> list[object]:
        event = ctx.event
        return [ctx.attempt, ctx.run_id, event.name, event.data, event.id, event.ts, ctx.request_id, ctx.job_id]

    reply = call(colour, body, attempt=2)

    assert [2, "01HRUN", "shop/order", {"n": 1}, "01HEVENT", 1_700_000_000_123, None, None] == reply.json


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"name": "x"}, ["x", {}, "", 0]),
        ({"name": "x", "data": None, "id": None, "ts": None, "user": None, "v": "1", "meta": {}}, ["x", {}, "", 0]),
        ({"name": "x", "data": {}, "id": "i", "ts": 5}, ["x", {}, "i", 5]),
    ],
)
def test_an_event_may_lack_all_but_its_name(colour: str, event: Any, expected: list[object]) -> None:
    async def body(ctx: Any) -> list[object]:
        return [ctx.event.name, ctx.event.data, ctx.event.id, ctx.event.ts]

    assert expected == call(colour, body, event=event).json


@pytest.mark.parametrize(
    "event", [{}, {"name": None}, {"name": ""}, {"name": 5}, [], None, 5, {"name": "x", "data": []}]
)
def test_an_event_that_is_none_is_refused_when_it_is_looked_at(colour: str, event: Any) -> None:
    async def body(ctx: Any) -> object:
        return ctx.event.name

    reply = call(colour, body, event=event)

    assert 500 == reply.status
    assert "event" in reply.json["message"]


def test_a_batch_has_several_events(colour: str) -> None:
    async def body(ctx: Any) -> list[object]:
        return [ctx.event.name, [event.data for event in ctx.events]]

    events = [{**EVENT, "data": {"n": n}} for n in (2, 1)]

    assert ["shop/order", [{"n": 2}, {"n": 1}]] == call(colour, body, event=events[0], events=events).json


@pytest.mark.parametrize("events", [[], [EVENT]])
def test_without_a_batch_there_is_one_event(colour: str, events: list[Any]) -> None:
    async def body(ctx: Any) -> list[object]:
        return [event.id for event in ctx.events]

    assert ["01HEVENT"] == call(colour, body, events=events).json


# Identity (6.1)


def test_repeats_of_an_id_are_counted(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return [await ctx.step.run("a", lambda: "new") for _ in range(4)]

    seen = []
    steps: dict[str, Any] = {}
    for n in range(4):
        (op,) = call(colour, body, steps=steps).json
        seen.append((op["id"], op["displayName"], op["name"], op["userland"]))
        steps[op["id"]] = {"data": n}

    ids = ["a", "a:1", "a:2", "a:3"]
    userlands = [{"id": "a", "index": index} for index in (None, 1, 2, 3)]
    assert [(hashed(ids[n]), "a", "a", userlands[n]) for n in range(4)] == seen
    assert [0, 1, 2, 3] == call(colour, body, steps=steps).json


def test_counting_goes_by_id_whatever_the_kind_of_step(colour: str) -> None:
    async def body(ctx: Any) -> object:
        await ctx.step.sleep("a", 1000)
        return await ctx.step.run("a", lambda: 1)

    (op,) = call(colour, body, steps={hashed("a"): None}).json

    assert (hashed("a:1"), {"id": "a", "index": 1}) == (op["id"], op["userland"])


@pytest.mark.parametrize(
    ("used", "ids"),
    [
        (["a:1", "a", "a"], ["a:1", "a", "a:2"]),
        (["a", "a", "a:1"], ["a", "a:1", "a:1:1"]),
        (["a:1", "a:1", "a", "a", "a"], ["a:1", "a:1:1", "a", "a:2", "a:3"]),
    ],
)
def test_a_repeat_never_collides_with_an_id_of_the_users(colour: str, used: list[str], ids: list[str]) -> None:
    async def body(ctx: Any) -> object:
        return [await ctx.step.run(step_id, never) for step_id in used]

    steps = {hashed(step_id): {"data": step_id} for step_id in ids}

    assert ids == call(colour, body, steps=steps).json


def test_an_id_may_be_any_text(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("é 世界 😀", lambda: 1)

    (op,) = call(colour, body).json

    assert (hashed("é 世界 😀"), "é 世界 😀") == (op["id"], op["displayName"])


def test_counters_start_anew_with_every_call(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: 1)

    assert call(colour, body).json == call(colour, body).json


# Targets, plans (6.2, 6.3)


async def two_steps(ctx: Any) -> list[object]:
    """Run two steps, one after the other."""
    return [await ctx.step.run("a", lambda: 1), await ctx.step.run("b", lambda: 2)]


def test_only_one_step_runs_in_a_call(colour: str) -> None:
    assert [("a", "StepRun", 1)] == ops(call(colour, two_steps))


def test_the_target_is_executed(colour: str) -> None:
    steps = {hashed("a"): {"data": 1}}

    assert [("b", "StepRun", 2)] == ops(call(colour, two_steps, steps=steps, target=hashed("b"), plan_only=True))


@pytest.mark.parametrize("plan_only", [True, False])
def test_a_target_that_is_done_leaves_the_run_free_to_go_on(colour: str, plan_only: bool) -> None:
    steps = {hashed("a"): {"data": 1}}

    reply = call(colour, two_steps, steps=steps, target=hashed("a"), plan_only=plan_only)

    assert [("b", "StepPlanned", None) if plan_only else ("b", "StepRun", 2)] == ops(reply)


def test_another_step_than_the_target_is_not_executed(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepserve_core._parallel.TARGET_PATIENCE", 0.01)

    async def body(ctx: Any) -> object:
        return [await ctx.step.run("a", never), await ctx.step.run("b", never)]

    reply = call(colour, body, target=hashed("b"))

    assert (
        500,
        {
            "code": "step_unexpected",
            "message": 'found step "a" when targeting a different step',
            "name": "StepUnexpectedError",
            "stack": None,
        },
    ) == (reply.status, reply.json)
    assert "x-inngest-no-retry" not in reply.headers


@pytest.mark.parametrize("steps", [{}, {hashed("a"): {"data": 1}}], ids=["new", "memoised"])
def test_a_function_that_ends_without_reaching_its_target_has_not_ended(
    colour: str, steps: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepserve_core._parallel.TARGET_PATIENCE", 0.01)

    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", never) if steps else "the end"

    reply = call(colour, body, steps=steps, target=hashed("gone"))

    assert (500, "step_unexpected") == (reply.status, reply.json["code"])
    assert "x-inngest-no-retry" not in reply.headers


@pytest.mark.parametrize(
    ("use", "opcode"),
    [
        (lambda step: step.run("a", never), "StepPlanned"),
        (lambda step: step.sleep("a", 1000), "Sleep"),
        (lambda step: step.wait_for_event("a", event="x", timeout=1000), "WaitForEvent"),
        (lambda step: step.invoke_by_id("a", function_id="g"), "InvokeFunction"),
        (lambda step: step.send_event("a", core.Event(name="x")), "StepPlanned"),
        (lambda step: step.ai.infer("a", adapter=Adapter(), body={}), "AIGateway"),
    ],
)
def test_without_immediate_execution_a_step_is_planned(colour: str, use: Any, opcode: str) -> None:
    async def body(ctx: Any) -> None:
        await use(ctx.step)

    assert [("a", opcode, None)] == ops(call(colour, body, plan_only=True))


def test_a_targeted_step_is_executed_also_without_immediate_execution(colour: str) -> None:
    assert [("a", "StepRun", 1)] == ops(call(colour, two_steps, plan_only=True, target=hashed("a")))


def test_a_memoised_step_is_never_reported(colour: str) -> None:
    steps = {hashed("a"): {"data": 10}, hashed("b"): {"data": 20}}
    for target in ("step", hashed("a"), hashed("b")):
        for plan_only in (True, False):
            reply = call(colour, two_steps, steps=steps, target=target, plan_only=plan_only)

            assert (200, [10, 20]) == (reply.status, reply.json)


# Parallel groups (6.4)


def grouped(*branches: Any, mode: core.ParallelMode = core.ParallelMode.WAIT) -> Body:
    """Return a function that runs branches, each a function of `step`, in one group."""

    async def body(ctx: Any) -> list[object]:
        return list(await ctx.group.parallel(tuple(lambda b=b: b(ctx.step) for b in branches), mode))

    return body


THREE = grouped(
    lambda step: step.run("a", lambda: 1),
    lambda step: step.run("a", lambda: 2),
    lambda step: step.sleep_until("s", datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)),
)


@pytest.mark.parametrize("plan_only", [True, False])
def test_a_group_reports_all_its_branches_at_once(colour: str, plan_only: bool) -> None:
    reply = call(colour, THREE, plan_only=plan_only)

    assert [("a", "StepPlanned", None), ("a", "StepPlanned", None), ("s", "Sleep", None)] == ops(reply)
    assert [(hashed("a"), None), (hashed("a:1"), 1), (hashed("s"), None)] == [
        (op["id"], op["userland"]["index"]) for op in reply.json
    ]


@pytest.mark.parametrize(("target", "index", "data"), [("a", None, 1), ("a:1", 1, 2)])
@pytest.mark.parametrize("steps", [{}, {hashed("s"): None}], ids=["nothing done", "the sleep done"])
def test_a_targeted_branch_of_a_group_is_executed_and_nothing_else_reported(
    colour: str, target: str, index: int | None, data: int, steps: dict[str, Any]
) -> None:
    reply = call(colour, THREE, target=hashed(target), plan_only=True, steps=steps)

    assert [("a", "StepRun", data)] == ops(reply)
    assert {"id": "a", "index": index} == reply.json[0]["userland"]


@pytest.mark.parametrize(
    "done",
    [["a"], ["s"], ["a", "s"], ["a:1", "a"]],
)
def test_a_group_reports_what_is_left(colour: str, done: list[str]) -> None:
    steps = {hashed(step_id): (None if step_id == "s" else {"data": 5}) for step_id in done}

    reply = call(colour, THREE, steps=steps)

    left = [step_id for step_id in ("a", "a:1", "s") if step_id not in done]
    assert [hashed(step_id) for step_id in left] == [op["id"] for op in reply.json]
    assert {"StepPlanned", "Sleep"} >= {op["op"] for op in reply.json}


def test_a_group_that_is_done_gives_its_results_in_order(colour: str) -> None:
    steps = {hashed("s"): None, hashed("a:1"): {"data": 2}, hashed("a"): {"data": 1}}

    assert (200, [1, 2, None]) == call(colour, THREE, steps=steps)[:2]


def test_a_group_of_one_step_plans_it(colour: str) -> None:
    reply = call(colour, grouped(lambda step: step.run("a", never)))

    assert [("a", "StepPlanned", None)] == ops(reply)


def test_a_group_of_nothing_gives_nothing(colour: str) -> None:
    assert (200, []) == call(colour, grouped())[:2]


def test_a_target_that_no_branch_reaches_does_not_end_the_function(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepserve_core._parallel.TARGET_PATIENCE", 0.01)

    reply = call(colour, THREE, target=hashed("gone"))

    assert (500, "step_unexpected") == (reply.status, reply.json["code"])


def test_in_race_mode_every_op_of_the_group_says_so(colour: str) -> None:
    body = grouped(
        lambda step: step.run("a", never),
        lambda step: step.sleep("s", 1000),
        lambda step: step.wait_for_event("w", event="x", timeout="1m"),
        mode=core.ParallelMode.RACE,
    )

    reply = call(colour, body)

    assert [
        {"parallelMode": "race"},
        {"parallelMode": "race"},
        {"if": None, "timeout": "1m", "parallelMode": "race"},
    ] == [op["opts"] for op in reply.json]


def test_a_step_behind_a_race_does_not_say_so(colour: str) -> None:
    async def body(ctx: Any) -> object:
        await grouped(lambda step: step.run("a", never), mode=core.ParallelMode.RACE)(ctx)
        return await ctx.step.run("b", lambda: 1)

    (op,) = call(colour, body, steps={hashed("a"): {"data": 1}}).json

    assert ("b", None) == (op["displayName"], op["opts"])


def test_groups_may_stand_inside_groups(colour: str) -> None:
    async def body(ctx: Any) -> object:
        def inner(prefix: str) -> Any:
            return ctx.group.parallel(tuple(lambda n=n: ctx.step.run(f"{prefix}{n}", lambda: n) for n in (1, 2)))

        return [list(part) for part in await ctx.group.parallel((lambda: inner("a"), lambda: inner("b")))]

    found = ["a1", "a2", "b1", "b2"]
    assert [(step_id, "StepPlanned", None) for step_id in found] == ops(call(colour, body))
    assert [("b1", "StepRun", 1)] == ops(call(colour, body, target=hashed("b1"), plan_only=True))
    steps = {hashed(step_id): {"data": step_id} for step_id in found}
    assert [["a1", "a2"], ["b1", "b2"]] == call(colour, body, steps=steps).json


def test_an_error_in_a_branch_ends_the_group(colour: str) -> None:
    def raising(step: Any) -> Any:
        del step
        raise ValueError("boom")

    reply = call(colour, grouped(lambda step: step.run("a", never), raising))

    assert (500, "ValueError", "boom") == (reply.status, reply.json["name"], reply.json["message"])


def test_a_failed_step_in_a_group_is_raised(colour: str) -> None:
    steps = {hashed("a"): {"error": {"name": "X", "message": "boom"}}, hashed("b"): {"data": 1}}

    reply = call(colour, grouped(lambda s: s.run("a", never), lambda s: s.run("b", never)), steps=steps)

    assert (500, "X", "step_errored") == (reply.status, reply.json["name"], reply.json["code"])


def test_a_step_behind_a_group_waits_for_it(colour: str) -> None:
    async def body(ctx: Any) -> object:
        await grouped(lambda step: step.run("a", never), lambda step: step.run("b", never))(ctx)
        return await ctx.step.run("c", lambda: 3)

    steps = {hashed("a"): {"data": 1}}
    assert ["b"] == [op["displayName"] for op in call(colour, body, steps=steps).json]
    assert [("c", "StepRun", 3)] == ops(call(colour, body, steps={**steps, hashed("b"): {"data": 1}}))


# Nested steps (6.6)


@pytest.mark.parametrize(
    "inner",
    [
        lambda step: step.run("inner", never),
        lambda step: step.sleep("inner", 1000),
        lambda step: step.wait_for_event("inner", event="x", timeout=1000),
        lambda step: step.invoke_by_id("inner", function_id="g"),
        lambda step: step.send_event("inner", core.Event(name="x")),
    ],
    ids=["run", "sleep", "wait", "invoke", "send"],
)
@pytest.mark.parametrize("how", ["untargeted", "targeted", "inner memoised", "in a group", "caught"])
def test_a_step_inside_a_step_is_an_error_of_the_outer_one(colour: str, inner: Any, how: str) -> None:
    async def body(ctx: Any) -> object:
        def plain() -> object:
            return inner(ctx.step)

        async def waiting() -> object:
            try:
                return await inner(ctx.step)
            except Exception:
                return "swallowed"

        handler = waiting if colour == "async" else plain
        if how == "in a group":
            return await ctx.group.parallel((lambda: ctx.step.run("outer", handler), lambda: ctx.step.run("b", never)))
        try:
            return await ctx.step.run("outer", handler)
        except Exception:
            assert how == "caught"
            raise

    target = hashed("outer") if how in ("targeted", "in a group") else "step"
    steps = {hashed("inner"): {"data": 1}} if how == "inner memoised" else {}
    reply = call(colour, body, target=target, steps=steps)

    (op,) = reply.json
    assert (206, "outer", "StepError") == (reply.status, op["displayName"], op["op"])
    assert ("step_nested", "Nested steps are not supported.", "CodedError") == (
        op["error"]["code"],
        op["error"]["message"],
        op["error"]["name"],
    )
    assert "true" == reply.headers["x-inngest-no-retry"]


def test_an_outer_step_is_planned_before_its_inner_one_is_seen(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("outer", lambda: ctx.step.run("inner", never))

    assert [("outer", "StepPlanned", None)] == ops(call(colour, body, plan_only=True))


def test_a_group_inside_a_step_is_an_error_of_the_outer_one(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("outer", lambda: ctx.group.parallel((lambda: ctx.step.run("inner", never),)))

    reply = call(colour, body)

    assert ("outer", "step_nested") == (reply.json[0]["displayName"], reply.json[0]["error"]["code"])


# Errors (5.8, 5.9, 6.9)


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "opcode"),
    [(0, 4, "StepError"), (2, 4, "StepError"), (3, 4, "StepFailed"), (0, 1, "StepFailed"), (9, None, "StepError")],
)
def test_an_error_of_a_step_is_final_on_the_last_attempt(
    colour: str, attempt: int, max_attempts: int | None, opcode: str
) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", fail, "why")

    reply = call(colour, body, attempt=attempt, max_attempts=max_attempts)

    (op,) = reply.json
    assert (206, opcode, None) == (reply.status, op["op"], op["data"])
    assert ["displayName", "id", "name", "op", "opts", "userland", "error", "data"] == list(op)
    assert ("unknown", "why", "ValueError") == (op["error"]["code"], op["error"]["message"], op["error"]["name"])
    assert "in fail" in op["error"]["stack"]
    assert "stepserve_core" not in op["error"]["stack"].partition("in fail")[0]
    assert "x-inngest-no-retry" not in reply.headers


def test_an_error_of_the_function_may_be_tried_again(colour: str) -> None:
    async def body(ctx: Any) -> None:
        del ctx
        fail("why")

    reply = call(colour, body)

    assert 500 == reply.status
    assert ("unknown", "why", "ValueError") == (reply.json["code"], reply.json["message"], reply.json["name"])
    assert {"code", "message", "name", "stack"} == set(reply.json)
    assert "in fail" in reply.json["stack"]
    assert not {"x-inngest-no-retry", "retry-after"} & set(reply.headers)


def non_retriable() -> None:
    """Fail for good."""
    raise core.NonRetriableError("never again")


def retry_later() -> None:
    """Ask for a later attempt."""
    raise core.RetryAfterError("later", datetime.datetime(2030, 1, 2, 3, 4, 5, 678_999, datetime.timezone.utc))


@pytest.mark.parametrize("where", ["function", "step", "targeted step", "step in a group"])
@pytest.mark.parametrize("attempt", [0, 3])
@pytest.mark.parametrize(
    ("raising", "code", "header", "value"),
    [
        (non_retriable, "non_retriable_error", "x-inngest-no-retry", "true"),
        (retry_later, "retry_after_error", "retry-after", "2030-01-02T03:04:05.678Z"),
    ],
)
def test_errors_that_speak_about_retries_fail_the_call(
    colour: str, where: str, attempt: int, raising: Any, code: str, header: str, value: str
) -> None:
    async def body(ctx: Any) -> None:
        if where == "function":
            raising()
        elif where == "step in a group":
            await ctx.group.parallel((lambda: ctx.step.run("a", raising),))
        else:
            await ctx.step.run("a", raising)

    reply = call(colour, body, attempt=attempt, target=hashed("a") if "target" in where or "group" in where else "step")

    assert (500, code, value) == (reply.status, reply.json["code"], reply.headers[header])
    assert 1 == len({"x-inngest-no-retry", "retry-after"} & set(reply.headers))


@pytest.mark.parametrize("how", ["int", "naive", "delta"])
def test_retry_after_is_written_in_utc(colour: str, how: str) -> None:
    now = datetime.datetime.now()
    given: Any = {"int": 60_000, "delta": datetime.timedelta(minutes=1), "naive": now + datetime.timedelta(minutes=1)}

    async def body(ctx: Any) -> None:
        del ctx
        raise core.RetryAfterError("later", given[how])

    header = call(colour, body).headers["retry-after"]

    after = datetime.datetime.fromisoformat(header.replace("Z", "+00:00")).timestamp() - now.timestamp()
    assert 59.9 < after < 90


def test_a_caught_non_retriable_error_lets_the_function_go_on(colour: str) -> None:
    async def body(ctx: Any) -> object:
        with contextlib.suppress(core.NonRetriableError):
            await ctx.step.run("a", non_retriable)
        return await ctx.step.run("b", lambda: "instead")

    assert [("b", "StepRun", "instead")] == ops(call(colour, body))


def test_a_caught_step_error_lets_the_function_go_on(colour: str) -> None:
    async def body(ctx: Any) -> object:
        try:
            await ctx.step.run("a", never)
            raise AssertionError("the memo was not raised")
        except core.StepError as error:
            instead = f"instead of {error.name}"
        return await ctx.step.run("b", lambda: instead)

    steps = {hashed("a"): {"error": {"name": "X", "message": "m"}}}

    assert [("b", "StepRun", "instead of X")] == ops(call(colour, body, steps=steps))


def test_except_exception_around_steps_swallows_no_interrupt(colour: str) -> None:
    async def body(ctx: Any) -> None:
        for step_id in ("a", "b"):
            try:
                await ctx.step.run(step_id, str, step_id)
            except Exception:
                raise AssertionError("an interrupt was caught") from None
        try:
            await grouped(lambda step: step.run("c", never), lambda step: step.run("d", never))(ctx)
        except Exception:
            raise AssertionError("an interrupt was caught") from None

    assert [("a", "StepRun", "a")] == ops(call(colour, body))
    done = {hashed("a"): {"data": 1}, hashed("b"): {"data": 1}}
    assert ["c", "d"] == [op["displayName"] for op in call(colour, body, steps=done).json]


def test_code_that_cleans_up_runs_at_every_interrupt_and_starts_no_steps(colour: str) -> None:
    cleaned: list[str] = []

    async def body(ctx: Any) -> object:
        try:
            return await ctx.step.run("a", lambda: 1)
        finally:
            cleaned.append("up")
            await ctx.step.run("cleaning", lambda: cleaned.append("in a step"))

    assert [("a", "StepRun", 1)] == ops(call(colour, body))
    assert ["up"] == cleaned


def test_code_that_cleans_up_starts_its_step_when_its_time_has_come(colour: str) -> None:
    async def body(ctx: Any) -> object:
        try:
            return await ctx.step.run("a", never)
        finally:
            await ctx.step.run("cleaning", lambda: "clean")

    assert [("cleaning", "StepRun", "clean")] == ops(call(colour, body, steps={hashed("a"): {"data": 1}}))
    failed = {hashed("a"): {"error": {"name": "X", "message": "m"}}}
    assert [("cleaning", "StepRun", "clean")] == ops(call(colour, body, steps=failed))


def test_code_that_cleans_up_in_a_branch_starts_no_step_before_the_branch_is_done(colour: str) -> None:
    async def body(ctx: Any) -> object:
        async def branch() -> object:
            try:
                return await ctx.step.run("a", never)
            finally:
                await ctx.step.run("cleaning", never)

        return await ctx.group.parallel((branch, lambda: ctx.step.run("b", never)))

    assert ["a", "b"] == [op["displayName"] for op in call(colour, body).json]
    done = {hashed("a"): {"data": 1}}
    assert ["cleaning", "b"] == [op["displayName"] for op in call(colour, body, steps=done).json]


def test_a_bare_except_cannot_make_an_interrupted_function_complete(colour: str) -> None:
    async def body(ctx: Any) -> object:
        with contextlib.suppress(BaseException):
            await ctx.step.run("a", lambda: 1)
        return "done"

    assert [("a", "StepRun", 1)] == ops(call(colour, body))


def test_context_managers_see_an_interrupt_as_an_exit(colour: str) -> None:
    exits: list[str] = []

    class Resource:
        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, value: object, traceback: object) -> None:
            exits.append("none" if kind is None else "interrupt" if not issubclass(kind, Exception) else "error")

    async def body(ctx: Any) -> object:
        with Resource():
            return await ctx.step.run("a", lambda: 1)

    call(colour, body)
    call(colour, body, steps={hashed("a"): {"data": 1}})

    assert ["interrupt", "none"] == exits


# Outputs (design.md 5)


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Model:
    """Has the method by which pydantic models are known."""

    def __init__(self, **fields: object) -> None:
        self.fields = fields

    def model_dump(self, *, mode: str) -> dict[str, object]:
        assert mode == "json"
        return self.fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1, [Point(2)]), {"x": 1, "y": [{"x": 2, "y": None}]}),
        (Model(a=1), {"a": 1}),
        ([Model(a=Point(1))], [{"a": {"x": 1, "y": None}}]),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), "2024-01-02T03:04:05Z"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1.10"), "1.10"),
        (core.ParallelMode.RACE, "race"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({1: "x"}, {"1": "x"}),
        (core.Event(name="e", ts=1), {"name": "e", "data": {}, "id": "", "ts": 1}),
        ("null NaN", "null NaN"),
        (float(2**53), 2**53),
    ],
)
def test_outputs_that_json_does_not_know_by_itself(colour: str, value: object, expected: object) -> None:
    async def step(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: value)

    async def function(ctx: Any) -> object:
        del ctx
        return value

    assert [("a", "StepRun", expected)] == ops(call(colour, step))
    assert (200, expected) == call(colour, function)[:2]


def circle() -> list[object]:
    """Return something that contains itself."""
    items: list[object] = []
    items.append({"deeper": items})
    return items


def abyss() -> object:
    """Return something that is nested very deeply."""
    value: object = None
    for _ in range(100_000):
        value = [value]
    return value


UNSERIALIZABLE = [
    (object, ["at the top", "object is not serializable"]),
    (lambda: {"rows": [{"ok": 1}, {"cell": object()}]}, ["at rows[1].cell", "object is not serializable"]),
    (lambda: [1, Point(2, {"z": {"deep": never}})], ["at [1].y.z.deep", "function is not serializable"]),
    (lambda: float("nan"), ["NaN or infinity at the top"]),
    (lambda: {"a": [1.0, float("inf")]}, ["NaN or infinity at a[1]"]),
    (lambda: Point(1, float("-inf")), ["NaN or infinity at y"]),
    (lambda: Model(score=float("nan")), ["NaN or infinity", "score"]),
    (circle, ["contains itself"]),
    (abyss, ["contains itself, or is nested too deeply"]),
    (lambda: {(1, 2): 3}, ["at the top"]),
    (lambda: "\ud800", ["at the top"]),
    (lambda: {"text": ["\udc00"]}, ["at text[0]"]),
]


@pytest.mark.parametrize(("make", "said"), UNSERIALIZABLE)
def test_an_output_that_json_cannot_carry_is_never_retried_and_named(colour: str, make: Any, said: list[str]) -> None:
    async def step(ctx: Any) -> object:
        return await ctx.step.run("charge", make)

    async def function(ctx: Any) -> object:
        del ctx
        return make()

    for body, name in ((step, "step 'charge'"), (function, "function 'f'")):
        reply = call(colour, body)

        assert (500, "output_unserializable", "true") == (
            reply.status,
            reply.json["code"],
            reply.headers["x-inngest-no-retry"],
        )
        assert [] == [part for part in [name, *said] if part not in reply.json["message"]]


def test_the_data_of_an_invocation_must_be_serializable_too(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.invoke_by_id("i", function_id="g", data={"x": [object()]})

    reply = call(colour, body)

    assert (500, "output_unserializable") == (reply.status, reply.json["code"])
    assert "step 'i'" in reply.json["message"]
    assert "payload.data.x[0]" in reply.json["message"]


class Doubling:
    """A serializer that shows what it was asked."""

    def serialize(self, obj: object, typ: object) -> object:
        return ["serialized", obj, getattr(typ, "__name__", str(typ))]

    def deserialize(self, obj: object, typ: object) -> object:
        return ["deserialized", obj, getattr(typ, "__name__", str(typ))]


def test_a_serializer_is_used_where_an_output_type_is_given(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return [await ctx.step.run("a", lambda: 1, output_type=int), await ctx.step.run("b", lambda: 2)]

    client = dev_client(serializer=Doubling())
    options = {"output_type": list}

    (first,) = call(colour, body, client=client, options=options).json
    assert ["serialized", 1, "int"] == first["data"]
    (second,) = call(colour, body, client=client, options=options, steps={hashed("a"): {"data": "m"}}).json
    assert 2 == second["data"]
    steps = {hashed("a"): {"data": "m"}, hashed("b"): {"data": "n"}}
    done = call(colour, body, client=client, options=options, steps=steps)
    assert ["serialized", [["deserialized", "m", "int"], "n"], "list"] == done.json


def test_without_a_serializer_an_output_type_changes_nothing(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: 1, output_type=str)

    assert [("a", "StepRun", 1)] == ops(call(colour, body))


def test_without_pydantic_its_serializer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydantic", None)

    with pytest.raises(ImportError, match=r"stepserve\[pydantic\]"):
        core.PydanticSerializer().serialize(1, int)


# Steps at the wrong time


def test_a_step_after_the_end_of_its_function_is_refused_by_name(colour: str) -> None:
    kept: list[Any] = []

    async def body(ctx: Any) -> None:
        kept.append(ctx)

    call(colour, body)

    with pytest.raises(errors.StepOutsideFunctionError, match="'late'"):
        kept[0].step.run("late", never)


def test_a_forgotten_await_is_warned_about_by_the_name_of_the_step() -> None:
    async def body(ctx: core.Context) -> str:
        _ = ctx.step.run("charge", never)
        return "ended"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reply = call("async", body)
        gc.collect()

    assert (200, "ended") == (reply.status, reply.json)
    assert ["coroutine 'step 'charge'' was never awaited"] == [
        str(warning.message).splitlines()[0] for warning in caught
    ]


def test_the_handlers_of_steps_may_be_of_either_colour_in_an_async_function() -> None:
    async def waiting(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def body(ctx: core.Context) -> object:
        return [await ctx.step.run("a", waiting, 1), await ctx.step.run("b", lambda: waiting(2))]

    assert [("a", "StepRun", 1)] == ops(call("async", body))
    assert [("b", "StepRun", 2)] == ops(call("async", body, steps={hashed("a"): {"data": 1}}))


def test_an_async_handler_of_a_step_in_a_sync_function_is_refused_by_name() -> None:
    async def waiting() -> None:
        raise AssertionError("ran")

    def body(ctx: core.ContextSync) -> object:
        return ctx.step.run("a", waiting)

    client = dev_client()
    function = client.create_function(fn_id="f", trigger=core.TriggerEvent(event="x"))(body)
    from tests.core.calls import call_body, make_handler, post, serve  # one test only

    reply = serve(make_handler(client, function), post("app-f", json.dumps(call_body()).encode()))

    assert "async_unsupported" == reply.json[0]["error"]["code"]
    assert "waiting is async" in reply.json[0]["error"]["message"]


def test_an_async_function_that_cancels_itself_fails_and_may_be_tried_again() -> None:
    async def body(ctx: core.Context) -> None:
        del ctx
        raise asyncio.CancelledError

    reply = call("async", body)

    assert 500 == reply.status
    assert "cancelled" in reply.json["message"]
    assert "x-inngest-no-retry" not in reply.headers
