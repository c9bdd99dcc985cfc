"""Runs that checkpoint, with what is more than a step in them: waits, invocations, events, a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepserve import Checkpointing, Event, Function, Inngest, TriggerEvent
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.sdk_system import sdk_system
from tests.executor.system import System

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.not_under(reason="regimes call functions anew for each step, so that they save none on the way"),
    pytest.mark.parametrize("settings", [True, Checkpointing(batch_steps=10)], ids=["each", "batch"]),
    pytest.mark.parametrize("colour", COLOURS),
]


async def test_steps_between_waits_invocations_and_events_are_executed_once(
    colour: str, settings: bool | Checkpointing
) -> None:
    executed: list[str] = []

    def note(name: str) -> str:
        executed.append(name)
        return name

    async def child(ctx: Any) -> Any:
        return await ctx.step.run("child", note, ctx.event.data["name"])

    def functions(client: Inngest) -> list[Function[Any]]:
        invoked = define(
            client, colour, child, fn_id="child", trigger=TriggerEvent(event="shop/child"), checkpointing=settings
        )

        async def body(ctx: Any) -> Any:
            first = await ctx.step.run("a", note, "a")
            answer = await ctx.step.wait_for_event("answer", event="shop/answer", timeout=3600_000)
            second = await ctx.step.run("b", note, "b")
            third = await ctx.step.invoke("invoke", function=invoked, data={"name": "c"})
            sent = await ctx.step.send_event("send", Event(name="shop/unheard"))
            return [first, answer.data["n"], second, third, len(sent), await ctx.step.run("d", note, "d")]

        return [invoked, define(client, colour, body, checkpointing=settings)]

    async with sdk_system(functions) as system:
        event_id = await system.send("shop/order")
        await system.idle()
        await system.send("shop/answer", {"n": 7})
        outcome = await system.outcome(event_id)

    assert ("Completed", ["a", 7, "b", "c", 1, "d"]) == outcome
    assert ["a", "b", "c", "d"] == executed


async def test_a_run_that_is_cancelled_executes_no_step_after_its_next_checkpoint(
    colour: str, settings: bool | Checkpointing
) -> None:
    executed: list[int] = []
    systems: list[System] = []
    loop = asyncio.get_running_loop()

    async def cancelling(run_id: str, number: int) -> None:
        executed.append(number)
        if number == 1:
            assert await systems[0].executor.cancel(run_id)

    def cancelling_sync(run_id: str, number: int) -> None:
        asyncio.run_coroutine_threadsafe(cancelling(run_id, number), loop).result(20)

    async def body(ctx: Any) -> Any:
        for number in range(30):
            handler: Any = cancelling_sync if colour == "sync" else cancelling
            await ctx.step.run(f"step {number}", handler, ctx.run_id, number)

    async with sdk_system(lambda client: [define(client, colour, body, checkpointing=settings)]) as system:
        systems.append(system)
        status, _ = await system.outcome(await system.send("shop/order"))
        await system.idle()

    most = 2 if settings is True else 20
    assert ("Cancelled", list(range(len(executed))), True) == (status, executed, 2 <= len(executed) <= most)
