"""The functions that the contract suite calls, as `async def`. `functions_sync` has the same as `def`."""

from __future__ import annotations

import asyncio
from typing import Any

from stepserve import Context, Event, Function, Inngest
from stepserve.testing.contract.functions_sync import _TRIGGER, _add, _error, _id, variable


def make(client: Inngest) -> list[Function[Any]]:
    """Return the functions."""
    handlers = [two_steps, parallel, gathered, echo, letters, facts, fails, fails_in_step, unserializable]
    handlers += [context_variable, where, blocks, sends, nests]
    functions = [client.create_function(fn_id=_id(handler), trigger=_TRIGGER)(handler) for handler in handlers]
    refund = client.create_function(fn_id="refund", trigger=_TRIGGER, on_failure=on_refund_failed, retries=0)(fails)
    child: Function[Any] = refund
    every_kind = client.create_function(fn_id="every-kind", trigger=_TRIGGER)

    @every_kind
    async def _every_kind(ctx: Context) -> Any:
        await ctx.step.sleep("nap", "1h")
        event = await ctx.step.wait_for_event("answer", event="shop/answered", if_exp="event.data.a == 1", timeout="2d")
        invoked = await ctx.step.invoke("child", function=child, data={"n": 1})
        by_id = await ctx.step.invoke_by_id("other", app_id="billing", function_id="charge", timeout="1m")
        return [event and event.name, invoked, by_id]

    return [*functions, refund, _every_kind]


async def two_steps(ctx: Context) -> dict[str, Any]:
    first = await ctx.step.run("first", lambda: 1)
    second = await ctx.step.run("second", _add_slowly, first, 10)
    return {"first": first, "second": second}


async def parallel(ctx: Context) -> list[Any]:
    results = await ctx.group.parallel(
        (
            lambda: ctx.step.run("left", lambda: "l"),
            lambda: ctx.step.run("right", lambda: "r"),
            lambda: ctx.step.sleep("nap", "1s"),
        )
    )
    return list(results)


async def gathered(ctx: Context) -> list[Any]:
    results = await asyncio.gather(
        ctx.step.run("left", lambda: "l"),
        ctx.step.run("right", lambda: "r"),
        ctx.step.sleep("nap", "1s"),
    )
    return list(results)


async def echo(ctx: Context) -> Any:
    return ctx.event.data["payload"]


async def letters(ctx: Context) -> str:
    count: int = ctx.event.data["count"]
    return await ctx.step.run("letters", lambda: "x" * count)


async def facts(ctx: Context) -> dict[str, Any]:
    return {
        "attempt": ctx.attempt,
        "events": [event.name for event in ctx.events],
        "id": ctx.event.id,
        "job_id": ctx.job_id,
        "request_id": ctx.request_id,
        "run_id": ctx.run_id,
        "ts": ctx.event.ts,
    }


async def fails(ctx: Context) -> None:
    raise _error(ctx.event.data["how"])


async def fails_in_step(ctx: Context) -> str:
    async def fail() -> str:
        raise _error(ctx.event.data["how"])

    return await ctx.step.run("fail", fail)


async def unserializable(ctx: Context) -> object:
    return {"socket": object()}


async def context_variable(ctx: Context) -> list[str]:
    return [variable.get(), await ctx.step.run("read", variable.get)]


async def where(ctx: Context) -> int:
    """Return the identity of the event loop."""
    return id(asyncio.get_running_loop())


async def blocks(ctx: Context) -> str:
    """Say that it is here, and wait until the other side lets it go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ctx.event.data["gate"])
    try:
        return (await reader.read(16)).decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def sends(ctx: Context) -> list[str]:
    return await ctx.step.send_event("send", [Event(name="shop/one"), Event(name="shop/two")])


async def nests(ctx: Context) -> int:
    return await ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))


async def on_refund_failed(ctx: Context) -> Any:
    return await ctx.step.run("report", lambda: ctx.event.data["error"]["message"])


async def _add_slowly(left: int, right: int) -> int:
    await asyncio.sleep(0)
    return _add(left, right)
