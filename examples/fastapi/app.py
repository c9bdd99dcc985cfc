"""A small shop on FastAPI: durable functions beside ordinary routes.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/fastapi/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1", "total": 120}'
"""

import asyncio
import os
from typing import Any

import fastapi

import stepserve.fastapi
from stepserve import Context, ContextSync, Event, Inngest, TriggerCron, TriggerEvent

app = fastapi.FastAPI()
client = Inngest(app_id="fastapi-shop")


@client.create_function(fn_id="make-invoice", trigger=TriggerEvent(event="shop/invoice.requested"))
async def make_invoice(ctx: Context) -> dict[str, Any]:
    """Started by its event, or by another function with `step.invoke`."""
    number = await ctx.step.run("number-invoice", lambda: f"INV-{ctx.event.data['order_id']}")
    return {"number": number, "total": ctx.event.data["total"]}


async def charge_card(total: float, attempt: int) -> str:
    if attempt == 0:  # `ctx.attempt` counts the attempts of the step that is being tried: here the first one fails
        raise ConnectionError("the payment provider did not answer")
    return f"charged {total}"


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
async def process_order(ctx: Context) -> dict[str, Any]:
    """Take one order from stock to invoice. Each step runs once, whatever happens between them."""
    order_id, total = ctx.event.data["order_id"], ctx.event.data["total"]
    await ctx.step.run("reserve-stock", lambda: f"reserved for {order_id}")
    charge = await ctx.step.run("charge-card", charge_card, total, ctx.attempt)
    shipment = await ctx.step.run("ship", lambda: f"shipped {order_id}")
    await ctx.step.sleep("cooling-off", "1s")
    payment = await ctx.step.wait_for_event(
        "payment", event="shop/payment.settled", if_exp="event.data.order_id == async.data.order_id", timeout="1m"
    )
    invoice = await ctx.step.invoke("invoice", function=make_invoice, data={"order_id": order_id, "total": total})
    await ctx.step.send_event("announce", Event(name="shop/order.completed", data={"order_id": order_id}))
    return {"charge": charge, "shipment": shipment, "paid": payment is not None, "invoice": invoice["number"]}


@client.create_function(
    fn_id="big-order", trigger=TriggerEvent(event="shop/order.created", expression="event.data.total > 1000")
)
async def big_order(ctx: Context) -> str:
    """Started by the same event as `process-order`, but only for large orders."""
    return await ctx.step.run("tell-sales", lambda: f"told sales about {ctx.event.data['order_id']}")


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
async def order_completed(ctx: Context) -> str:
    """Started by the event that `process-order` sends."""
    return await ctx.step.run("thank-customer", lambda: f"thanked the customer of {ctx.event.data['order_id']}")


@client.create_function(fn_id="parallel-report", trigger=TriggerEvent(event="shop/report.requested"))
async def parallel_report(ctx: Context) -> dict[str, Any]:
    """Five steps at the same time."""
    counts = await ctx.group.parallel(
        (
            lambda: ctx.step.run("count-orders", lambda: 42),
            lambda: ctx.step.run("count-refunds", lambda: 3),
            lambda: ctx.step.run("count-visits", lambda: 1200),
            lambda: ctx.step.run("count-carts", lambda: 77),
            lambda: ctx.step.run("count-reviews", lambda: 9),
        )
    )
    return {"counts": counts, "total": sum(counts)}


async def ask_supplier(price: int) -> int:
    await asyncio.sleep(0.05)  # stands for an HTTP call
    return price


@client.create_function(fn_id="gather-quotes", trigger=TriggerEvent(event="shop/quotes.requested"))
async def gather_quotes(ctx: Context) -> dict[str, Any]:
    """Steps are ordinary coroutines: `asyncio.gather` and task groups work on them."""
    quotes = await asyncio.gather(
        ctx.step.run("ask-acme", ask_supplier, 31),
        ctx.step.run("ask-globex", ask_supplier, 29),
        ctx.step.run("ask-initech", ask_supplier, 35),
    )
    return {"quotes": quotes, "best": min(quotes)}


async def on_refund_failed(ctx: Context) -> str:
    """Called once `refund` has failed for good; the event tells what happened."""
    reason = ctx.event.data["error"]["message"]
    return await ctx.step.run("open-ticket", lambda: f"opened a ticket: {reason}")


@client.create_function(
    fn_id="refund", trigger=TriggerEvent(event="shop/refund.requested"), retries=0, on_failure=on_refund_failed
)
async def refund(ctx: Context) -> None:
    raise ValueError("the bank refused the refund")


@client.create_function(fn_id="nightly-cleanup", trigger=TriggerCron(cron="* * * * *"))
def nightly_cleanup(ctx: ContextSync) -> str:
    """A `def` function runs in a thread and may block. Every minute here; "0 3 * * *" would be at three at night."""
    return ctx.step.run("delete-old-carts", lambda: "deleted 12 carts")


functions = [
    make_invoice,
    process_order,
    big_order,
    order_completed,
    parallel_report,
    gather_quotes,
    refund,
    nightly_cleanup,
]
stepserve.fastapi.serve(app, client, functions)


@app.post("/orders")
async def place_order(order: dict[str, Any]) -> dict[str, Any]:
    """An ordinary route: it sends an event and answers at once; the rest happens in `process_order`."""
    return {"events": await client.send(Event(name="shop/order.created", data=order))}


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))
