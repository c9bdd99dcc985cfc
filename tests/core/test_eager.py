"""What a call leaves behind: no turn of the loop, no garbage. Async functions begin in place, as if on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import _eager
from stepserve_core.errors import NonRetriableError
from tests.core.calls import call, call_body, define, dev_client, hashed, make_handler, post, serve

variable: ContextVar[str] = ContextVar("variable", default="outside")


async def start(work: Callable[[], Awaitable[None]]) -> list[str]:
    """Start `work`; return a list in which every task that it makes leaves a mark."""
    marks: list[str] = []

    async def coroutine() -> None:
        await work()

    _eager.start(asyncio.get_running_loop(), coroutine(), lambda: marks.append("task"))
    return marks


def test_it_begins_at_once_and_goes_on_by_itself() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("begun")
        await asyncio.sleep(0)
        seen.append("waited")
        await asyncio.sleep(0.001)
        seen.append("ended")

    async def scenario() -> None:
        await start(work)
        seen.append("started")
        await asyncio.sleep(0.02)

    asyncio.run(scenario())

    assert ["begun", "started", "waited", "ended"] == seen


def test_it_is_one_task_in_one_context_all_the_time() -> None:
    tasks: list[Any] = []

    async def work() -> None:
        token = variable.set("inside")
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        variable.reset(token)  # an error, if this were another context
        tasks.append(variable.get())

    async def scenario() -> asyncio.Task[Any] | None:
        await start(work)
        tasks.append(variable.get())
        await asyncio.sleep(0.01)
        return asyncio.current_task()

    caller = asyncio.run(scenario())

    first, leaked, second, after = tasks
    assert ("outside", "outside") == (leaked, after)
    assert first is second
    assert first is not caller


def test_it_tells_once_of_tasks_that_are_made_while_it_begins() -> None:
    async def aside() -> None:
        await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(aside(), aside())
        await asyncio.gather(aside())

    async def scenario() -> list[str]:
        marks = await start(work)
        await asyncio.sleep(0.01)
        return marks

    assert ["task"] == asyncio.run(scenario())


def test_a_task_factory_of_the_app_goes_on_making_its_tasks() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__qualname__ if hasattr(coroutine, "__qualname__") else "")
        return asyncio.Task(coroutine, loop=loop, **options)

    async def aside() -> None:
        await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(aside())

    async def scenario() -> bool:
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        await start(work)
        await asyncio.sleep(0.01)
        return loop.get_task_factory() is factory

    assert asyncio.run(scenario())
    assert any(name.endswith("aside") for name in made)


def test_a_task_factory_that_the_work_installs_stays() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__qualname__.rpartition(".")[2])
        return asyncio.Task(coroutine, loop=loop, **options)

    async def aside() -> None:
        await asyncio.sleep(0)

    async def work() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.gather(aside(), aside())

    async def scenario() -> bool:
        await start(work)
        await asyncio.sleep(0.01)
        return asyncio.get_running_loop().get_task_factory() is factory

    assert asyncio.run(scenario())
    assert ["aside", "aside"] == made[:2]


def test_it_can_be_cancelled_before_the_loop_came_to_it() -> None:
    seen: list[str] = []

    async def scenario() -> bool:
        awaited = asyncio.get_running_loop().create_future()
        task: list[Any] = []

        async def work() -> None:
            task.append(asyncio.current_task())
            try:
                await awaited
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        await start(work)
        task[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task[0]
        return awaited.cancelled() and task[0].cancelled()

    assert asyncio.run(scenario())
    assert ["cancelled"] == seen


# Calls


@pytest.mark.parametrize(("count", "status"), [(1, 200), (2, 206)], ids=["returns", "executes a step"])
def test_a_call_that_waits_for_nothing_takes_no_turn_of_the_loop(count: int, status: int) -> None:
    client = dev_client()

    async def body(ctx: core.Context) -> None:
        for step_id in ("known", "new")[:count]:
            await ctx.step.run(step_id, lambda: "")

    handler = make_handler(client, define(client, "async", body))
    request = post("app-f", json.dumps(call_body(steps={hashed("known"): {"data": ""}})).encode())

    async def scenario() -> tuple[int, list[str]]:
        turns: list[str] = []
        asyncio.get_running_loop().call_soon(turns.append, "turn")
        response = await handler.ahandle(request)
        return response.status, list(turns)

    assert (status, []) == asyncio.run(scenario())


class Local:
    """Something that a function holds while it runs."""


silent = logging.getLogger("tests.silent")  # pytest would keep the records, and the errors in them
silent.disabled = True


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("returns", 200),
        ("executes a step", 206),
        ("plans a group", 206),
        ("raises", 500),
        ("fails in a step", 206),
        ("ends for good in a step", 500),
    ],
)
def test_a_call_leaves_nothing_to_the_garbage_collector(colour: str, ending: str, status: int) -> None:
    held: list[weakref.ref[Any]] = []

    def fail() -> None:
        raise ValueError("boom") if ending == "fails in a step" else NonRetriableError("boom")

    async def body(ctx: Any) -> None:
        local = Local()
        held.extend((weakref.ref(local), weakref.ref(ctx.step._run)))
        if ending == "executes a step":
            await ctx.step.run("new", lambda: "")
        if ending == "plans a group":
            await ctx.group.parallel((lambda: ctx.step.run("a", lambda: ""), lambda: ctx.step.run("b", lambda: "")))
        if ending == "raises":
            raise ValueError("boom")
        if ending.endswith("in a step"):
            await ctx.step.run("fails", fail)

    client = dev_client(logger=silent)
    handler = make_handler(client, define(client, colour, body))
    request = post("app-f", json.dumps(call_body()).encode())

    gc.collect()
    gc.disable()
    try:
        reply = serve(handler, request, entry="handle" if colour == "sync" else "ahandle")
    finally:
        gc.enable()

    assert status == reply.status
    assert [None, None] == [reference() for reference in held]


@pytest.mark.parametrize(
    ("done", "target", "status"),
    [("", None, 206), ("a", "b", 206), ("abc", None, 200)],
    ids=["plans", "executes its target", "returns"],
)
def test_a_call_that_gathers_leaves_nothing_to_the_garbage_collector(
    done: str, target: str | None, status: int
) -> None:
    held: list[weakref.ref[Any]] = []

    async def body(ctx: core.Context) -> None:
        local = Local()
        held.extend((weakref.ref(local), weakref.ref(ctx.step._run)))
        await asyncio.gather(*[ctx.step.run(step_id, lambda: "") for step_id in "abc"])

    handler = make_handler(dev_client(), define(dev_client(), "async", body))
    memos = {hashed(step_id): {"data": ""} for step_id in done}
    wanted = "step" if target is None else hashed(target)
    request = post("app-f", json.dumps(call_body(steps=memos)).encode(), target=wanted)

    gc.collect()
    gc.disable()
    try:
        reply = serve(handler, request, entry="ahandle")
    finally:
        gc.enable()

    assert status == reply.status
    assert [None, None] == [reference() for reference in held]


def test_a_step_of_a_task_that_had_not_begun_when_the_function_was_left_is_cancelled() -> None:
    seen: list[str] = []

    async def body(ctx: core.Context) -> None:
        async def branch(late: Awaitable[str]) -> None:
            try:
                await late
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        aside = asyncio.ensure_future(branch(ctx.step.run("late", lambda: "")))
        await ctx.step.run("target", lambda: "")
        await aside

    reply = call("async", body, target=hashed("target"), plan_only=True)

    assert ["target"] == [op["displayName"] for op in reply.json]
    assert ["cancelled"] == seen
