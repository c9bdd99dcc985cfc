"""Steps for code that is not handed a context (protocol.md 10.10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import stepserve
from stepserve.experimental import get_step_context, mocked, set_step_context, step

CLIENT = mocked.Inngest(app_id="app", is_production=False)
TRIGGER = stepserve.TriggerEvent(event="x")


def run(handler: Any) -> object:
    """Run a function and return its output."""
    result = mocked.trigger(
        CLIENT.create_function(fn_id="f", trigger=TRIGGER)(handler), stepserve.Event(name="x"), CLIENT
    )
    if result.error is not None:
        raise result.error
    return result.output


def test_a_decorated_function_is_a_step_inside_a_run_and_a_plain_call_outside() -> None:
    calls: list[tuple[int, int]] = []

    @step("add")
    def add(a: int, b: int = 1) -> int:
        """Add."""
        calls.append((a, b))
        return a + b

    assert (3, [(1, 2)]) == (add(1, b=2), calls)
    assert ("add", "Add.") == (add.__name__, add.__doc__)
    assert [3, 4] == run(lambda ctx: [add(1, b=2), add(3)])
    assert [(1, 2), (1, 2), (3, 1)] == calls


def test_an_async_decorated_function_is_awaited_in_both_places() -> None:
    @step("add")
    async def add(a: int) -> int:
        return a + 1

    async def order(ctx: stepserve.Context) -> list[int]:
        del ctx
        return [await add(1), *await asyncio.gather(add(2), add(3))]

    assert 2 == asyncio.run(add(1))
    assert [2, 3, 4] == run(order)


def test_the_context_is_that_of_the_run() -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        return get_step_context() is ctx.step, ctx.step.run("inside", lambda: get_step_context() is ctx.step)

    async def aorder(ctx: stepserve.Context) -> object:
        return get_step_context() is ctx.step

    assert (True, True) == run(order)
    assert run(aorder) is True


def test_there_is_no_context_outside_of_a_run() -> None:
    run(lambda ctx: None)

    with pytest.raises(LookupError):
        get_step_context()


def test_a_context_can_be_set_for_a_block() -> None:
    stand_in: Any = object()

    with set_step_context(stand_in):
        assert stand_in is get_step_context()
    with pytest.raises(LookupError):
        get_step_context()
