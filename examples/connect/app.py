"""Durable functions in a process that nobody can call: it connects to the server itself, and needs no port.

In development, without keys (two terminals):

    stepserve dev
    INNGEST_DEV=1 python examples/connect/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. Then place an order from anywhere that has the event key:

    curl http://127.0.0.1:8288/e/key -d '{"name": "shop/order.created", "data": {"order_id": "A-1"}}'

Ctrl-C or SIGTERM finishes the steps under way and leaves; other workers go on.
"""

import asyncio
import time

from stepserve import Context, ContextSync, Event, Inngest, TriggerEvent
from stepserve.connect import connect

client = Inngest(app_id="worker-shop")


async def ask_supplier(price: int) -> int:
    await asyncio.sleep(0.05)  # stands for an HTTP call
    return price


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
async def process_order(ctx: Context) -> dict[str, object]:
    """Two steps at the same time, a pause, an event. Runs on the event loop that called `start`."""
    quotes = await asyncio.gather(
        ctx.step.run("ask-acme", ask_supplier, 31),
        ctx.step.run("ask-globex", ask_supplier, 29),
    )
    await ctx.step.sleep("cooling-off", "1s")
    await ctx.step.send_event("announce", Event(name="shop/order.completed", data=ctx.event.data))
    return {"order_id": ctx.event.data["order_id"], "price": min(quotes)}


def write_letter(order_id: str) -> str:
    time.sleep(0.1)  # stands for something that keeps a thread busy
    return f"thanked the customer of {order_id}"


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
def order_completed(ctx: ContextSync) -> str:
    """`def` functions run in threads; they may block."""
    return ctx.step.run("thank-customer", write_letter, ctx.event.data["order_id"])


async def main() -> None:
    """Work until a signal comes."""
    await connect([(client, [process_order, order_completed])], max_worker_concurrency=20).start()


if __name__ == "__main__":
    asyncio.run(main())
