"""Steps that the official SDK lacks, as type checkers see them. Checked, not run; see consumer.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import httpx
from typing_extensions import assert_type

import stepserve
from stepserve import (
    Checkpointing,
    Context,
    ContextSync,
    Deferred,
    FetchResponse,
    Inngest,
    Signal,
    TriggerDeferred,
    TriggerEvent,
    experiment,
    fetch_transport,
    realtime,
)

client = Inngest(app_id="shop", checkpointing=Checkpointing(batch_steps=10, batch_interval="1s", max_runtime=None))
ORDERED = TriggerEvent(event="shop/ordered")


@dataclasses.dataclass
class Status:
    """What a message carries."""

    done: int


status = realtime.Channel("orders:{id}").topic("status", Status)


async def stock(sku: str, count: int) -> int:
    return len(sku) + count


def price(sku: str) -> float:
    return float(len(sku))


@client.create_function(fn_id="clean", trigger=TriggerDeferred(), checkpointing=True)
def cleaning(ctx: ContextSync) -> None:
    ctx.step.run("clean", lambda: ctx.step.add_score("clean", True))


@client.create_function(fn_id="sync", trigger=ORDERED, on_cancel=cleaning.handler)
def synchronous(ctx: ContextSync) -> None:
    response = ctx.step.fetch("page", "https://example.com", method="POST", json={"a": 1}, params={"b": [1, 2]})
    assert_type(response, FetchResponse)
    assert_type(response.status_code, int)
    assert_type(ctx.step.ai.wrap("ask", price, "A-1"), float)
    assert_type(ctx.step.wait_for_signal("wait", signal="paid", timeout="1h", on_conflict="replace"), Signal | None)
    assert_type(ctx.step.send_signal("send", "paid", {"by": "card"}), str | None)
    assert_type(ctx.group.race(lambda: 1, lambda: "a"), int | str)
    assert_type(ctx.group.race(lambda: 1, lambda: "a", lambda: b""), int | str | bytes)
    assert_type(ctx.group.experiment("price", variants={"a": lambda: price("A"), "b": lambda: price("B")}), float)
    chosen = ctx.group.experiment("price", variants={"a": lambda: price("A")}, select=experiment.weighted({"a": 1}))
    assert_type(chosen, float)
    assert_type(ctx.step.defer("later", function="shop-clean", data={"n": 1}), Deferred)
    ctx.step.defer("also", function=cleaning).abort()
    ctx.step.realtime.publish("tell", status(id=7), Status(1))
    with httpx.Client(transport=fetch_transport(ctx.step)) as http:
        assert_type(http.get("https://example.com"), httpx.Response)


@client.create_function(fn_id="async", trigger=ORDERED)
async def asynchronous(ctx: Context) -> None:
    assert_type(await ctx.step.fetch("page", "https://example.com"), FetchResponse)
    assert_type(await ctx.step.ai.wrap("ask", stock, "A-1", 2), int)
    assert_type(await ctx.step.ai.wrap("sync", price, "A-1"), float)
    assert_type(await ctx.step.wait_for_signal("wait", signal="paid", timeout="1h"), Signal | None)
    assert_type(await ctx.step.send_signal("send", "paid"), str | None)
    assert_type(await ctx.group.race(lambda: stock("a", 1), lambda: ctx.step.sleep("nap", "1m")), int | None)
    variants = {"old": lambda: stock("a", 1), "new": lambda: ctx.step.ai.wrap("ask", stock, "A-1", 2)}
    assert_type(await ctx.group.experiment("price", variants=variants, select=lambda: "old"), int)
    await ctx.step.realtime.publish("tell", status(id=7), Status(1))
    async with httpx.AsyncClient(transport=fetch_transport(ctx.step)) as http:
        assert_type(await http.get("https://example.com"), httpx.Response)


async def messages() -> None:
    assert_type(await realtime.subscription_token(client, status(id=7)), Mapping[str, object])
    await realtime.publish(client, status(id=7), Status(1))
    async for message in realtime.subscribe(client, status(id=7)):
        assert_type(message.data, Status)
    async for anything in realtime.subscribe(client, realtime.Channel("news").topic("all")):
        assert_type(anything.data, Any)


async def outside() -> None:
    await client.add_score("01H", "stars", 4)
    assert_type(await client.send_signal("paid", 1), str | None)
    assert_type(client.send_signal_sync("paid"), str | None)
    assert_type(await client.cancel_run("01H"), bool)
    try:
        client.cancel_run_sync("01H")
    except stepserve.errors.ServerAPIError as error:
        assert_type(error.http_status, int | None)
