"""A small shop on Flask: durable functions beside ordinary routes.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/flask/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1", "total": 120}'
"""

import asyncio
import os
from typing import Any

import flask

import stepserve.flask
from stepserve import Context, ContextSync, Event, Inngest, TriggerCron, TriggerEvent

app = flask.Flask(__name__)
client = Inngest(app_id="flask-shop")


@client.create_function(fn_id="make-invoice", trigger=TriggerEvent(event="shop/invoice.requested"))
def make_invoice(ctx: ContextSync) -> dict[str, Any]:
    """Started by its event, or by another function with `step.invoke`."""
    number = ctx.step.run("number-invoice", lambda: f"INV-{ctx.event.data['order_id']}")
    return {"number": number, "total": ctx.event.data["total"]}


def charge_card(total: float, attempt: int) -> str:
    if attempt == 0:  # `ctx.attempt` counts the attempts of the step that is being tried: here the first one fails
        raise ConnectionError("the payment provider did not answer")
    return f"charged {total}"


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, Any]:
    """Take one order from stock to invoice. Each step runs once, whatever happens between them."""
    order_id, total = ctx.event.data["order_id"], ctx.event.data["total"]
    ctx.step.run("reserve-stock", lambda: f"reserved for {order_id}")
    charge = ctx.step.run("charge-card", charge_card, total, ctx.attempt)
    shipment = ctx.step.run("ship", lambda: f"shipped {order_id}")
    ctx.step.sleep("cooling-off", "1s")
    payment = ctx.step.wait_for_event(
        "payment", event="shop/payment.settled", if_exp="event.data.order_id == async.data.order_id", timeout="1m"
    )
    invoice = ctx.step.invoke("invoice", function=make_invoice, data={"order_id": order_id, "total": total})
    ctx.step.send_event("announce", Event(name="shop/order.completed", data={"order_id": order_id}))
    return {"charge": charge, "shipment": shipment, "paid": payment is not None, "invoice": invoice["number"]}


@client.create_function(
    fn_id="big-order", trigger=TriggerEvent(event="shop/order.created", expression="event.data.total > 1000")
)
def big_order(ctx: ContextSync) -> str:
    """Started by the same event as `process-order`, but only for large orders."""
    return ctx.step.run("tell-sales", lambda: f"told sales about {ctx.event.data['order_id']}")


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
def order_completed(ctx: ContextSync) -> str:
    """Started by the event that `process-order` sends."""
    return ctx.step.run("thank-customer", lambda: f"thanked the customer of {ctx.event.data['order_id']}")


@client.create_function(fn_id="parallel-report", trigger=TriggerEvent(event="shop/report.requested"))
def parallel_report(ctx: ContextSync) -> dict[str, Any]:
    """Five steps at the same time."""
    counts = ctx.group.parallel(
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
    """`async def` works under Flask too, and so does `asyncio.gather` over steps."""
    quotes = await asyncio.gather(
        ctx.step.run("ask-acme", ask_supplier, 31),
        ctx.step.run("ask-globex", ask_supplier, 29),
        ctx.step.run("ask-initech", ask_supplier, 35),
    )
    return {"quotes": quotes, "best": min(quotes)}


def on_refund_failed(ctx: ContextSync) -> str:
    """Called once `refund` has failed for good; the event tells what happened."""
    reason = ctx.event.data["error"]["message"]
    return ctx.step.run("open-ticket", lambda: f"opened a ticket: {reason}")


@client.create_function(
    fn_id="refund", trigger=TriggerEvent(event="shop/refund.requested"), retries=0, on_failure=on_refund_failed
)
def refund(ctx: ContextSync) -> None:
    raise ValueError("the bank refused the refund")


@client.create_function(fn_id="nightly-cleanup", trigger=TriggerCron(cron="* * * * *"))
def nightly_cleanup(ctx: ContextSync) -> str:
    """Every minute, so that you need not wait for the night; "0 3 * * *" would be at three."""
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
stepserve.flask.serve(app, client, functions)


@app.post("/orders")
def place_order() -> dict[str, Any]:
    """An ordinary route: it sends an event and answers at once; the rest happens in `process_order`."""
    return {"events": client.send_sync(Event(name="shop/order.created", data=flask.request.get_json()))}


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    try:
        import waitress
    except ImportError:
        app.run(host, port)
    else:
        waitress.serve(app, host=host, port=port)
