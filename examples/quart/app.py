"""Durable functions in a Quart app.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/quart/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1"}'
"""

import asyncio
import os

import quart

import stepserve.quart
from stepserve import Context, ContextSync, Event, Inngest, TriggerEvent

app = quart.Quart(__name__)
client = Inngest(app_id="quart-shop")


async def ask_supplier(price: int) -> int:
    await asyncio.sleep(0.05)  # stands for an HTTP call
    return price


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
async def process_order(ctx: Context) -> dict[str, object]:
    """Two steps at the same time, a pause, an event. Runs on the event loop of the server."""
    quotes = await asyncio.gather(
        ctx.step.run("ask-acme", ask_supplier, 31),
        ctx.step.run("ask-globex", ask_supplier, 29),
    )
    await ctx.step.sleep("cooling-off", "1s")
    await ctx.step.send_event("announce", Event(name="shop/order.completed", data=ctx.event.data))
    return {"order_id": ctx.event.data["order_id"], "price": min(quotes)}


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
def order_completed(ctx: ContextSync) -> str:
    """`def` functions run in threads; they may block."""
    return ctx.step.run("thank-customer", lambda: f"thanked the customer of {ctx.event.data['order_id']}")


stepserve.quart.serve(app, client, [process_order, order_completed])


@app.post("/orders")
async def place_order() -> dict[str, object]:
    """An ordinary route: it sends an event and answers at once; the rest happens in `process_order`."""
    data = await quart.request.get_json()
    return {"events": await client.send(Event(name="shop/order.created", data=data))}


if __name__ == "__main__":
    # Quart's reloader replaces the process, and whoever started it could no longer end it.
    app.run(host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")), use_reloader=False)
