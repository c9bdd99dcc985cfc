"""The functions of the app that the tests look at."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

from stepserve import (
    Concurrency,
    Context,
    Function,
    Inngest,
    NonRetriableError,
    Throttle,
    TriggerCron,
    TriggerEvent,
)

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
"""What a page must show as it is."""


def define(client: Inngest) -> list[Function[Any]]:
    """Return the functions."""
    return [*_orders(client), *_others(client)]


def _orders(client: Inngest) -> list[Function[Any]]:

    @client.create_function(fn_id="ship-parcel", name="Ship a parcel", trigger=TriggerEvent(event="shop/parcel.ready"))
    async def ship(ctx: Context) -> dict[str, Any]:
        async def label(city: str) -> dict[str, str]:
            return {"tracking": "ZX-48121", "city": city}

        return await ctx.step.run("print-label", label, str(ctx.event.data.get("city")))

    @client.create_function(
        fn_id="process-order",
        name="Process an order",
        trigger=TriggerEvent(event="shop/order.created"),
        concurrency=[Concurrency(limit=50)],
    )
    async def order(ctx: Context) -> dict[str, Any]:
        number = str(ctx.event.data.get("order_id"))

        async def charge(order_id: str) -> dict[str, Any]:
            if ctx.event.data.get("flaky") and ctx.attempt == 0:
                raise RuntimeError("the payment gateway did not answer")
            return {"receipt": f"R-{order_id}", "lines": [{"sku": "tea-01", "count": 2}]}

        async def reserve(shelf: str) -> str:
            await asyncio.sleep(0)
            return shelf

        charged = await ctx.step.run("charge-card", charge, number)
        await asyncio.gather(
            ctx.step.run("reserve-stock", reserve, "shelf 4"), ctx.step.run("tell-warehouse", reserve, "dock 2")
        )
        await ctx.step.sleep("cool-off", datetime.timedelta(milliseconds=20))
        if ctx.event.data.get("bad"):
            raise NonRetriableError(f"order {number} has no address")
        shipped = await ctx.step.invoke("ship", function=ship, data={"city": "Berlin"})
        return {"order": number, "receipt": charged["receipt"], "shipment": shipped}

    return [order, ship]


def _others(client: Inngest) -> list[Function[Any]]:
    @client.create_function(
        fn_id="import-catalogue",
        name="Import the catalogue",
        trigger=TriggerEvent(event="shop/catalogue.changed"),
        retries=1,
    )
    async def importing(ctx: Context) -> None:
        async def parse(path: str) -> None:
            raise ValueError(f"{path}, line 17: 'abc' is not a number")

        await ctx.step.run("parse", parse, "catalogue.csv")

    @client.create_function(
        fn_id="await-approval",
        name="Await approval",
        trigger=TriggerEvent(event="shop/refund.requested"),
        throttle=Throttle(limit=500, period=datetime.timedelta(seconds=1)),
    )
    async def approve(ctx: Context) -> str:
        approval = await ctx.step.wait_for_event(
            "approval", event="shop/refund.approved", timeout=datetime.timedelta(hours=2)
        )
        return "rejected" if approval is None else "approved"

    @client.create_function(fn_id="hostile", name=HOSTILE, trigger=TriggerEvent(event="shop/hostile"))
    async def hostile(ctx: Context) -> dict[str, str]:
        async def echo() -> str:
            return HOSTILE

        return {HOSTILE: await ctx.step.run(HOSTILE, echo)}

    @client.create_function(fn_id="count", name="Count stock", trigger=TriggerEvent(event="shop/counted"))
    async def count(ctx: Context) -> Any:
        return ctx.event.data.get("n")

    @client.create_function(
        fn_id="nightly-report", name="Nightly report", trigger=TriggerCron(cron="TZ=Europe/Berlin 30 3 * * *")
    )
    async def report(ctx: Context) -> int:
        del ctx
        return 41

    return [importing, approve, hostile, count, report]
