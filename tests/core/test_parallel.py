"""Parallel steps of async functions, run to the end by a server that keeps the rules (protocol.md 6.4, 6.5).

`asyncio.gather`, task groups, `as_completed`, `wait` and plain tasks over steps; what happens to everything that
is still under way when the function is interrupted.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from random import Random
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core._protocol import Response
from tests.core.calls import Reply, call, call_body, define, dev_client, hashed, make_handler, post, read
from tests.core.colours import Body
from tests.core.driver import Outcome, Server

# Looked up by name: the type checkers check for Python 3.10, which has neither.
TaskGroup: Any = getattr(asyncio, "TaskGroup", None)
timeout: Any = getattr(asyncio, "timeout", None)
task_groups = pytest.mark.skipif(TaskGroup is None, reason="asyncio.TaskGroup came with Python 3.11")
SEEDS = range(6)


class Steps:
    """Counts how often each step was executed."""

    def __init__(self) -> None:
        self.executed: Counter[str] = Counter()

    def run(self, ctx: core.Context, step_id: str) -> Awaitable[str]:
        """Use a step that gives its id in capitals."""

        async def work() -> str:
            await asyncio.sleep(0)
            self.executed[step_id] += 1
            return step_id.upper()

        return ctx.step.run(step_id, work)


def finish(body: Body, *, client: core.Inngest | None = None, **options: Any) -> tuple[Outcome, Server]:
    """Run a function to its end."""
    client = client or dev_client()
    server = Server(make_handler(client, define(client, "async", body)), entry="ahandle", **options)
    return server.run(), server


def names(reply: Reply) -> list[str]:
    """Return the display names of what was reported."""
    assert 206 == reply.status, reply.json
    return [op["displayName"] for op in reply.json]


# The ways in which asyncio runs things at the same time


async def by_gather(ctx: core.Context, steps: Steps) -> list[str]:
    return list(await asyncio.gather(steps.run(ctx, "a"), steps.run(ctx, "b"), steps.run(ctx, "c")))


async def by_task_group(ctx: core.Context, steps: Steps) -> list[str]:
    async with TaskGroup() as group:
        tasks = [group.create_task(_coroutine(steps.run(ctx, step_id))) for step_id in "abc"]
    return [task.result() for task in tasks]


async def by_tasks(ctx: core.Context, steps: Steps) -> list[str]:
    tasks = [asyncio.create_task(_coroutine(steps.run(ctx, step_id))) for step_id in "abc"]
    return [await task for task in tasks]


async def by_wait(ctx: core.Context, steps: Steps) -> list[str]:
    tasks = [asyncio.ensure_future(steps.run(ctx, step_id)) for step_id in "abc"]
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def by_as_completed(ctx: core.Context, steps: Steps) -> list[str]:
    return sorted([await each for each in asyncio.as_completed([steps.run(ctx, step_id) for step_id in "abc"])])


async def by_group_parallel(ctx: core.Context, steps: Steps) -> list[str]:
    return list(await ctx.group.parallel(tuple(functools.partial(steps.run, ctx, i) for i in "abc")))


async def by_gather_in_group(ctx: core.Context, steps: Steps) -> list[str]:
    async def two() -> list[str]:
        return list(await asyncio.gather(steps.run(ctx, "a"), steps.run(ctx, "b")))

    async def one() -> list[str]:
        return [await steps.run(ctx, "c")]

    first, second = await ctx.group.parallel((two, one))
    return [*first, *second]


async def by_group_in_gather(ctx: core.Context, steps: Steps) -> list[str]:
    group = ctx.group.parallel((lambda: steps.run(ctx, "a"), lambda: steps.run(ctx, "b")))
    both, last = await asyncio.gather(group, steps.run(ctx, "c"))
    return [*both, last]


async def by_gather_in_gather(ctx: core.Context, steps: Steps) -> list[str]:
    inner = asyncio.gather(asyncio.gather(steps.run(ctx, "a")), steps.run(ctx, "b"))
    (first, second), third = await asyncio.gather(inner, steps.run(ctx, "c"))
    return [*first, second, third]


async def by_shield(ctx: core.Context, steps: Steps) -> list[str]:
    return list(await asyncio.gather(*[asyncio.shield(_coroutine(steps.run(ctx, i))) for i in "abc"]))


async def by_wait_for(ctx: core.Context, steps: Steps) -> list[str]:
    return list(await asyncio.gather(*[asyncio.wait_for(steps.run(ctx, i), 30) for i in "abc"]))


async def _coroutine(awaitable: Awaitable[str]) -> str:
    return await awaitable


WAYS = [
    by_gather,
    pytest.param(by_task_group, marks=task_groups),
    by_tasks,
    by_wait,
    by_as_completed,
    by_group_parallel,
    by_gather_in_group,
    by_group_in_gather,
    by_gather_in_gather,
    by_shield,
    by_wait_for,
]
Way = Callable[[core.Context, Steps], Awaitable[list[str]]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_is_executed_once_and_all_results_arrive(way: Way, version: int, seed: int) -> None:
    steps = Steps()

    async def body(ctx: core.Context) -> list[str]:
        first = await steps.run(ctx, "first")
        return [first, *await way(ctx, steps), await steps.run(ctx, "last")]

    outcome, _ = finish(body, version=version, random=Random(seed))

    assert (200, ["FIRST", "A", "B", "C", "LAST"]) == outcome[:2]
    assert dict.fromkeys(["first", "a", "b", "c", "last"], 1) == dict(steps.executed)


@pytest.mark.parametrize("way", WAYS)
def test_parallel_steps_are_reported_in_one_answer(way: Way) -> None:
    steps = Steps()

    async def body(ctx: core.Context) -> list[str]:
        return await way(ctx, steps)

    _, server = finish(body)

    # One call plans all, one executes each, one ends the run.
    assert (["a", "b", "c"], 5) == (sorted(names(server.replies[0])), len(server.replies))
    assert {"StepPlanned"} == {op["op"] for op in server.replies[0].json}


def test_a_branch_behind_one_that_waits_for_tasks_is_reached_when_its_step_is_asked_for() -> None:
    executed: list[str] = []
    shop: ContextVar[str] = ContextVar("shop")

    def work(name: str) -> str:
        executed.append(name)
        return name

    async def body(ctx: core.Context) -> list[object]:
        shop.set("here")

        async def first() -> list[str]:
            await ctx.step.sleep("nap", 1000)
            return list(await asyncio.gather(ctx.step.run("a", work, "a"), ctx.step.run("b", work, "b")))

        async def last() -> list[object]:
            return list(await ctx.group.parallel((first, lambda: ctx.step.run("c", work, "c"))))

        return [*await ctx.group.parallel((first_again, last, lambda: ctx.step.run(shop.get(), work, shop.get())))]

    async def first_again() -> str:
        return await asyncio.create_task(asyncio.sleep(0, "no step"))

    for seed in SEEDS:
        executed.clear()
        outcome, _ = finish(body, random=Random(seed))

        assert (200, ["no step", [["a", "b"], "c"], "here"]) == outcome[:2]
        assert ["a", "b", "c", "here"] == sorted(executed)


def test_an_error_of_a_branch_behind_one_that_waits_for_tasks_ends_the_function() -> None:
    async def body(ctx: core.Context) -> object:
        async def first() -> list[str]:
            return list(await asyncio.gather(ctx.step.run("a", str), ctx.step.run("b", str)))

        async def last() -> None:
            raise core.NonRetriableError("no")

        return await ctx.group.parallel((first, last))

    outcome, server = finish(body)

    assert (500, "no") == (outcome.status, outcome.output["message"])
    assert "true" == server.replies[-1].headers["x-inngest-no-retry"]
    assert ["a", "b"] == sorted(names(server.replies[0]))


def test_steps_of_every_kind_may_be_gathered() -> None:
    async def body(ctx: core.Context) -> list[object]:
        event, *others = await asyncio.gather(
            ctx.step.wait_for_event("wait", event="yes", timeout="1m"),
            ctx.step.sleep("sleep", 1000),
            ctx.step.invoke_by_id("invoke", function_id="g"),
            ctx.step.run("run", lambda: "ran"),
        )
        return [event and event.data, *others]

    answers = {"wait": {"name": "yes", "data": {"k": 1}}, "invoke": {"data": "invoked"}}
    for seed in SEEDS:
        outcome, server = finish(body, answers=answers, random=Random(seed))

        assert (200, [{"k": 1}, None, "invoked", "ran"]) == outcome[:2]
        assert ["InvokeFunction", "Sleep", "StepPlanned", "WaitForEvent"] == sorted(
            op["op"] for op in server.replies[0].json
        )


def test_a_lone_step_is_executed_at_once_also_in_a_task() -> None:
    steps = Steps()

    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(steps.run(ctx, "a")))

    outcome, _ = finish(body)

    assert (200, ["A"], 2) == outcome


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize("seed", SEEDS)
def test_branches_may_have_several_steps(version: int, seed: int) -> None:
    steps = Steps()

    async def branch(ctx: core.Context, name: str, length: int) -> list[str]:
        return [await steps.run(ctx, f"{name}{n}") for n in range(length)]

    async def body(ctx: core.Context) -> list[list[str]]:
        return list(await asyncio.gather(branch(ctx, "a", 3), branch(ctx, "b", 1), branch(ctx, "c", 2)))

    outcome, _ = finish(body, version=version, random=Random(seed))

    assert (200, [["A0", "A1", "A2"], ["B0"], ["C0", "C1"]]) == outcome[:2]
    assert {1} == set(steps.executed.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_may_wait_for_other_things_too(seed: int) -> None:
    steps = Steps()

    async def branch(ctx: core.Context, name: str, pause: float) -> str:
        await asyncio.sleep(pause)
        first = await steps.run(ctx, f"{name}1")
        await asyncio.sleep(pause)
        return first + await steps.run(ctx, f"{name}2")

    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(branch(ctx, "a", 0), branch(ctx, "b", 0.002), branch(ctx, "c", 0.004)))

    outcome, _ = finish(body, random=Random(seed))

    assert (200, ["A1A2", "B1B2", "C1C2"]) == outcome[:2]
    assert {1} == set(steps.executed.values())


def test_a_function_may_do_slow_things_before_its_first_step() -> None:
    async def body(ctx: core.Context) -> str:
        await asyncio.sleep(0.01)
        return await ctx.step.run("a", lambda: "ran")

    outcome, _ = finish(body)

    assert (200, "ran", 2) == outcome


# Who came first


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_as_completed_sees_the_order_in_which_steps_finished(order: str) -> None:
    async def body(ctx: core.Context) -> list[str]:
        running = [ctx.step.run(step_id, lambda: "") for step_id in "abc"]
        return [await each for each in asyncio.as_completed(running)]

    steps = {hashed(step_id): {"data": step_id} for step_id in "abc"}
    reply = call("async", body, steps=steps, stack=[hashed(step_id) for step_id in order])

    assert (200, list(order)) == (reply.status, reply.json)


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_wait_for_the_first_sees_only_the_first(order: str) -> None:
    async def body(ctx: core.Context) -> list[str]:
        tasks = {asyncio.ensure_future(ctx.step.run(step_id, lambda: "")) for step_id in "abc"}
        seen = []
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            seen.append("".join(sorted(task.result() for task in done)))
        return seen

    steps = {hashed(step_id): {"data": step_id} for step_id in "abc"}
    reply = call("async", body, steps=steps, stack=[hashed(step_id) for step_id in order])

    assert list(order) == reply.json


def test_callbacks_fire_in_the_order_in_which_steps_finished() -> None:
    async def body(ctx: core.Context) -> list[str]:
        seen: list[str] = []

        async def branch(step_id: str) -> None:
            seen.append(await ctx.step.run(step_id, lambda: ""))
            seen.append(await ctx.step.run(f"{step_id}2", lambda: ""))

        await asyncio.gather(*[branch(step_id) for step_id in "abc"])
        return seen

    order = ["c", "a", "a2", "b", "c2", "b2"]
    steps = {hashed(step_id): {"data": step_id} for step_id in sorted(order)}

    assert order == call("async", body, steps=steps, stack=[hashed(step_id) for step_id in order]).json


def test_an_order_that_the_stack_does_not_tell_does_no_harm() -> None:
    async def body(ctx: core.Context) -> list[str]:
        async def branch(name: str) -> str:
            return "".join([await ctx.step.run(f"{name}{n}", lambda: "") for n in range(4)])

        return list(await asyncio.gather(*[branch(name) for name in "abc"]))

    steps = {hashed(f"{name}{n}"): {"data": str(n)} for name in "abc" for n in range(4)}

    assert ["0123"] * 3 == call("async", body, steps=steps, stack=[]).json


@pytest.mark.parametrize("stack", [[1, 2], {"a": 1}, "x", [None]])
def test_a_stack_that_is_none_is_refused(stack: Any) -> None:
    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(ctx.step.run("a", lambda: ""), ctx.step.run("b", lambda: "")))

    steps = {hashed(step_id): {"data": step_id} for step_id in "ab"}
    reply = call("async", body, steps=steps, stack=stack)

    assert (500, "body_invalid") == (reply.status, reply.json["code"])


@pytest.mark.parametrize("seed", range(12))
def test_a_race_ends_as_it_ended_the_first_time(seed: int) -> None:
    decided: list[str] = []

    async def body(ctx: core.Context) -> list[str]:
        tasks = [asyncio.ensure_future(ctx.step.run(step_id, str, step_id)) for step_id in "abc"]
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        winner = "".join(task.result() for task in done)
        decided.append(winner)
        after = await ctx.step.run(f"after {winner}", lambda: winner)
        for task in late:
            task.cancel()
        return [winner, after]

    outcome, server = finish(body, version=1, random=Random(seed))

    winner = next(i for i in "abc" if hashed(i) == server.stack[0])
    assert (200, [winner, winner]) == outcome[:2]
    assert {winner} == set(decided)


@pytest.mark.parametrize("seed", range(12))
def test_a_race_by_group_calls_again_after_each_step(seed: int) -> None:
    async def body(ctx: core.Context) -> list[str]:
        steps = Steps()
        branches = tuple(functools.partial(steps.run, ctx, i) for i in "abc")
        return list(await ctx.group.parallel(branches, core.ParallelMode.RACE))

    outcome, server = finish(body, random=Random(seed))

    assert (200, ["A", "B", "C"]) == outcome[:2]
    assert {"race"} == {op["opts"]["parallelMode"] for reply in server.replies[:-1] for op in reply.json}


# Targets


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", ["a", "b", "c"])
@pytest.mark.parametrize("done", ["", "a", "bc", "b"])
def test_a_targeted_step_is_executed_and_no_other(way: Way, target: str, done: str) -> None:
    steps = Steps()

    async def body(ctx: core.Context) -> list[str]:
        return await way(ctx, steps)

    memos = {hashed(step_id): {"data": step_id} for step_id in done if step_id != target}
    reply = call("async", body, target=hashed(target), steps=memos, plan_only=True)

    assert [(target, "StepRun", target.upper())] == [(op["displayName"], op["op"], op["data"]) for op in reply.json]
    assert {target: 1} == dict(steps.executed)


def test_a_target_may_be_reached_late() -> None:
    async def body(ctx: core.Context) -> list[str]:
        async def late() -> str:
            await asyncio.sleep(0.02)
            return await ctx.step.run("late", lambda: "L")

        return list(await asyncio.gather(ctx.step.run("a", lambda: ""), late(), ctx.step.run("b", lambda: "")))

    reply = call("async", body, target=hashed("late"), plan_only=True)

    assert [("late", "L")] == [(op["displayName"], op["data"]) for op in reply.json]


def test_a_target_that_no_branch_reaches_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepserve_core._parallel.TARGET_PATIENCE", 0.01)

    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(ctx.step.run("a", lambda: ""), ctx.step.run("b", lambda: "")))

    reply = call("async", body, target=hashed("gone"), plan_only=True)

    assert (500, "step_unexpected") == (reply.status, reply.json["code"])
    assert '"a", "b"' in reply.json["message"]


def test_a_step_that_cannot_be_asked_for_does_not_hinder_the_target() -> None:
    async def body(ctx: core.Context) -> list[Any]:
        wrong: Any = "not a function"
        return list(await asyncio.gather(ctx.step.run("wrong", wrong), ctx.step.run("b", lambda: "B")))

    reply = call("async", body, target=hashed("b"), plan_only=True)

    assert [("b", "B")] == [(op["displayName"], op["data"]) for op in reply.json]


def test_a_timeout_around_a_step_that_is_not_the_target_lets_the_function_go_on_to_it() -> None:
    async def body(ctx: core.Context) -> str:
        try:
            return await asyncio.wait_for(ctx.step.run("other", lambda: ""), 0.01)
        except asyncio.TimeoutError:
            return await ctx.step.run("target", lambda: "T")

    reply = call("async", body, target=hashed("target"), plan_only=True)

    assert [("target", "T")] == [(op["displayName"], op["data"]) for op in reply.json]


async def leave_a_task(ctx: core.Context) -> str:
    """End while a task that nobody awaits has reached a step."""
    task = asyncio.ensure_future(ctx.step.run("lost", lambda: ""))
    await asyncio.sleep(0)
    assert not task.done()
    return "ended"


def test_tasks_that_the_user_did_not_await_are_said_to_be_lost_also_in_a_call_for_another_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        reply = call("async", leave_a_task, target=hashed("gone"), plan_only=True)

    assert (500, "step_unexpected") == (reply.status, reply.json["code"])
    assert "'lost'" in caplog.text


# Errors


@pytest.mark.parametrize("seed", SEEDS)
def test_a_branch_may_fail_and_the_others_go_on(seed: int) -> None:
    def fail() -> None:
        raise ValueError("boom")

    async def body(ctx: core.Context) -> list[object]:
        results = await asyncio.gather(
            ctx.step.run("a", lambda: "A"),
            ctx.step.run("bad", fail),
            ctx.step.run("c", lambda: "C"),
            return_exceptions=True,
        )
        return [str(result) for result in results]

    outcome, server = finish(body, retries=1, random=Random(seed))

    assert (200, ["A", "boom", "C"]) == outcome[:2]
    assert ["StepError", "StepFailed"] == [
        op["op"] for reply in server.replies[1:-1] for op in reply.json if op["displayName"] == "bad"
    ]


@pytest.mark.parametrize("where", ["first", "last"])
def test_an_error_in_one_branch_ends_the_function_while_others_are_parked(where: str) -> None:
    async def fail() -> None:
        raise ValueError("boom")

    async def body(ctx: core.Context) -> object:
        step = ctx.step.run("a", lambda: "")
        return await asyncio.gather(*([fail(), step] if where == "first" else [step, fail()]))

    reply = call("async", body)

    assert (500, "ValueError", "boom") == (reply.status, reply.json["name"], reply.json["message"])


def test_a_failed_memo_ends_the_function_while_others_are_parked() -> None:
    async def body(ctx: core.Context) -> object:
        return await asyncio.gather(ctx.step.run("bad", lambda: ""), ctx.step.run("b", lambda: ""))

    reply = call("async", body, steps={hashed("bad"): {"error": {"name": "X", "message": "boom"}}})

    assert (500, "step_errored", "X", "true") == (
        reply.status,
        reply.json["code"],
        reply.json["name"],
        reply.headers["x-inngest-no-retry"],
    )


@task_groups
@pytest.mark.parametrize(
    ("error", "code", "header"),
    [
        (ValueError("boom"), "unknown", None),
        (core.NonRetriableError("boom"), "non_retriable_error", "x-inngest-no-retry"),
        (core.RetryAfterError("boom", 1000), "retry_after_error", "retry-after"),
    ],
)
def test_the_only_error_in_a_task_group_is_reported_as_itself(error: Exception, code: str, header: str | None) -> None:
    async def fail() -> None:
        raise error

    async def in_function(ctx: core.Context) -> None:
        async with TaskGroup() as outer:
            outer.create_task(_coroutine(ctx.step.run("a", lambda: "")))
            async with TaskGroup() as inner:
                inner.create_task(fail())

    async def in_step(ctx: core.Context) -> None:
        async def handler() -> None:
            async with TaskGroup() as group:
                group.create_task(fail())

        await ctx.step.run("a", handler)

    for body in (in_function, in_step):
        reply = call("async", body)
        reported = reply.json if reply.status == 500 else reply.json[0]["error"]

        assert (type(error).__name__, "boom", code) == (reported["name"], reported["message"], reported["code"])
        assert header is None or header in reply.headers


@task_groups
def test_a_nested_step_in_a_task_group_is_an_error_of_the_outer_step() -> None:
    async def body(ctx: core.Context) -> None:
        async def handler() -> None:
            async with TaskGroup() as group:
                group.create_task(nested(ctx))

        await ctx.step.run("outer", handler)

    async def nested(ctx: core.Context) -> None:
        await ctx.step.run("inner", lambda: "")

    (op,) = call("async", body).json

    assert ("outer", "StepError", "step_nested") == (op["displayName"], op["op"], op["error"]["code"])


def test_a_nested_step_in_a_gather_is_an_error_of_the_outer_step() -> None:
    async def body(ctx: core.Context) -> None:
        async def nested() -> None:
            await asyncio.sleep(0)
            await ctx.step.run("inner", lambda: "")

        async def handler() -> None:
            await asyncio.gather(nested(), asyncio.sleep(5))

        await ctx.step.run("outer", handler)

    client = dev_client()
    handler = make_handler(client, define(client, "async", body))
    request = post("app-f", json.dumps(call_body()).encode())

    (op,) = read(asyncio.run(handler.ahandle(request))).json

    assert ("outer", "StepError", "step_nested") == (op["displayName"], op["op"], op["error"]["code"])


@pytest.mark.parametrize("kind", [core.NonRetriableError, ValueError])
def test_an_error_of_an_executed_branch_fails_the_call_and_cancels_the_others(kind: type[Exception]) -> None:
    cancelled: list[str] = []

    async def body(ctx: core.Context) -> None:
        def fail() -> None:
            raise kind("boom")

        async def other() -> None:
            try:
                await ctx.step.run("other", lambda: "")
            except asyncio.CancelledError:
                cancelled.append("other")
                raise

        await asyncio.gather(ctx.step.run("bad", fail), other())

    reply = call("async", body, target=hashed("bad"), plan_only=True)

    expected = (500, "NonRetriableError") if kind is core.NonRetriableError else (206, "ValueError")
    error = reply.json if reply.status == 500 else reply.json[0]["error"]
    assert expected == (reply.status, error["name"])
    assert ["other"] == cancelled


# Timeouts of the user's own


async def forever() -> str:
    """Never end."""
    await asyncio.Event().wait()
    raise AssertionError("ended")


def with_timeout(awaitable: Awaitable[str], seconds: float) -> Awaitable[str]:
    """Wait with a limit."""
    return asyncio.wait_for(awaitable, seconds)


def test_after_a_timeout_around_a_step_the_function_goes_on() -> None:
    async def body(ctx: core.Context) -> str:
        try:
            await with_timeout(ctx.step.run("slow", forever), 0.01)
        except asyncio.TimeoutError:
            return await ctx.step.run("instead", lambda: "instead")
        return "no timeout"

    reply = call("async", body)

    assert [("instead", "instead")] == [(op["displayName"], op["data"]) for op in reply.json]


def test_a_timeout_that_does_not_expire_does_no_harm() -> None:
    async def body(ctx: core.Context) -> str:
        return await with_timeout(ctx.step.run("a", lambda: "A"), 30)

    outcome, _ = finish(body)

    assert (200, "A", 2) == outcome


def test_a_branch_may_time_out_while_another_one_is_executed() -> None:
    async def body(ctx: core.Context) -> list[object]:
        async def limited() -> str:
            await asyncio.sleep(0.005)  # by now the other one is being executed, and this one has to wait
            try:
                return await with_timeout(ctx.step.run("limited", lambda: "L"), 0.01)
            except asyncio.TimeoutError:
                return "late"

        async def slow() -> str:
            await asyncio.sleep(0.04)
            return "S"

        return list(await asyncio.gather(ctx.step.run("slow", slow), limited()))

    outcome, _ = finish(body)

    assert 200 == outcome.status
    assert outcome.output in (["S", "L"], ["S", "late"])


@pytest.mark.skipif(timeout is None, reason="asyncio.timeout came with Python 3.11")
def test_asyncio_timeout_around_several_steps() -> None:
    async def body(ctx: core.Context) -> list[str]:
        async with timeout(30):
            both = await asyncio.gather(ctx.step.run("a", lambda: "A"), ctx.step.run("b", lambda: "B"))
            return [*both, await ctx.step.run("c", lambda: "C")]

    outcome, _ = finish(body)

    assert (200, ["A", "B", "C"]) == outcome[:2]


def test_a_task_that_the_user_cancels_is_not_reported() -> None:
    async def body(ctx: core.Context) -> str:
        task = asyncio.ensure_future(ctx.step.run("unwanted", lambda: ""))
        await asyncio.sleep(0)
        task.cancel()
        return await ctx.step.run("wanted", lambda: "W")

    reply = call("async", body)

    assert ["wanted"] == names(reply)


# What is left over


def test_tasks_that_the_user_did_not_await_are_cancelled_and_said_to_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reply = call("async", leave_a_task)

    assert (200, "ended") == (reply.status, reply.json)
    assert "'lost'" in caplog.text


def test_a_step_in_a_task_that_was_not_awaited_is_seen_at_the_next_interrupt() -> None:
    async def body(ctx: core.Context) -> str:
        task = asyncio.ensure_future(ctx.step.run("aside", lambda: "aside"))
        main = await ctx.step.run("main", lambda: "main")
        return main + await task

    for seed in SEEDS:
        outcome, server = finish(body, random=Random(seed))

        assert (200, "mainaside") == outcome[:2]
        assert ["aside", "main"] == sorted(names(server.replies[0]))


def test_clean_up_code_of_parked_branches_runs_before_the_answer_leaves_and_starts_no_steps() -> None:
    done: list[str] = []

    async def body(ctx: core.Context) -> object:
        async def branch(name: str) -> str:
            try:
                return await ctx.step.run(name, lambda: "")
            finally:
                await asyncio.sleep(0.005)
                done.append(name)
                await ctx.step.run(f"clean up {name}", lambda: "")

        return await asyncio.gather(branch("a"), branch("b"))

    reply = call("async", body)

    assert ["a", "b"] == sorted(names(reply))
    assert ["a", "b"] == sorted(done)


def test_clean_up_code_that_takes_too_long_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stepserve_core._parallel.CLEANUP_PATIENCE", 0.01)
    client = dev_client()

    async def body(ctx: core.Context) -> object:
        try:
            return await ctx.step.run("a", lambda: "A")
        finally:
            await asyncio.sleep(5)

    handler = make_handler(client, define(client, "async", body))

    reply = read(asyncio.run(handler.ahandle(post("app-f", json.dumps(call_body()).encode()))))

    assert ["a"] == names(reply)
    assert "still busy cleaning up" in caplog.text


def test_code_that_swallows_its_cancellation_changes_nothing() -> None:
    async def body(ctx: core.Context) -> object:
        async def stubborn(name: str) -> str:
            try:
                return await ctx.step.run(name, lambda: "")
            except BaseException:
                return "swallowed"

        return list(await asyncio.gather(stubborn("a"), stubborn("b")))

    assert ["a", "b"] == sorted(names(call("async", body)))


def test_an_error_in_clean_up_code_does_not_hide_what_was_found() -> None:
    async def body(ctx: core.Context) -> object:
        try:
            return await ctx.step.run("a", lambda: "A")
        finally:
            raise RuntimeError("clean-up failed")

    assert ["a"] == names(call("async", body))


def test_contextvars_of_the_function_are_seen_in_its_steps() -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def body(ctx: core.Context) -> object:
        async def branch(name: str) -> str:
            variable.set(name)
            return await ctx.step.run(name, variable.get)

        return list(await asyncio.gather(branch("a"), branch("b")))

    outcome, _ = finish(body)

    assert ["a", "b"] == outcome.output


# A request that goes away


def test_a_cancelled_request_cancels_everything_it_started() -> None:
    states: list[str] = []

    async def body(ctx: core.Context) -> object:
        async def branch(name: str) -> None:
            try:
                await (forever() if name == "io" else ctx.step.run(name, forever))
            finally:
                states.append(name)

        return await asyncio.gather(branch("step"), branch("io"))

    client = dev_client()
    handler = make_handler(client, define(client, "async", body))

    async def scenario() -> set[Any]:
        request = asyncio.ensure_future(handler.ahandle(post("app-f", json.dumps(call_body()).encode())))
        await asyncio.sleep(0.02)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert set() == asyncio.run(scenario())
    assert ["io", "step"] == sorted(states)


def test_two_requests_on_one_loop_do_not_disturb_each_other() -> None:
    async def body(ctx: core.Context) -> object:
        names = [f"{ctx.run_id} {n}" for n in range(3)]
        await asyncio.sleep(0)
        return list(await asyncio.gather(*[ctx.step.run(name, lambda: "") for name in names]))

    client = dev_client()
    handler = make_handler(client, define(client, "async", body))

    async def scenario() -> list[Response]:
        bodies = [json.dumps(call_body(run_id=f"run{n}")).encode() for n in range(20)]
        return list(await asyncio.gather(*[handler.ahandle(post("app-f", body)) for body in bodies]))

    replies = [read(response) for response in asyncio.run(scenario())]

    assert [[f"run{n} {m}" for m in range(3)] for n in range(20)] == [names(reply) for reply in replies]


# Sizes


def test_hundreds_of_parallel_steps() -> None:
    steps = Steps()
    ids = [f"s{n}" for n in range(150)]

    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(*[steps.run(ctx, step_id) for step_id in ids]))

    outcome, server = finish(body)

    assert (200, [step_id.upper() for step_id in ids], 152) == outcome
    assert {1} == set(steps.executed.values())
    assert sorted(ids) == sorted(names(server.replies[0]))


def test_deep_nesting_is_found_in_one_call() -> None:
    async def leaf(ctx: core.Context, name: str, depth: int) -> str:
        if depth == 0:
            return await ctx.step.run(name, lambda: name)
        return (await asyncio.gather(leaf(ctx, name, depth - 1)))[0]

    async def body(ctx: core.Context) -> list[str]:
        return list(await asyncio.gather(*[leaf(ctx, f"s{depth}", depth) for depth in range(5)]))

    outcome, server = finish(body)

    assert [f"s{depth}" for depth in range(5)] == outcome.output
    assert 5 == len(names(server.replies[0]))
