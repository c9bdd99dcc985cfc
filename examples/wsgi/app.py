"""Durable functions without a web framework, on any WSGI server.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/wsgi/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1"}'
"""

import json
import os
import time
from collections.abc import Iterable
from typing import Any

import stepserve.wsgi
from stepserve import Context, ContextSync, Event, Inngest, TriggerEvent
from stepserve.wsgi import StartResponse

client = Inngest(app_id="wsgi-shop")


def ask_supplier(price: int) -> int:
    time.sleep(0.05)  # stands for an HTTP call
    return price


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, object]:
    """Two steps at the same time, a pause, an event."""
    quotes = ctx.group.parallel(
        (
            lambda: ctx.step.run("ask-acme", ask_supplier, 31),
            lambda: ctx.step.run("ask-globex", ask_supplier, 29),
        )
    )
    ctx.step.sleep("cooling-off", "1s")
    ctx.step.send_event("announce", Event(name="shop/order.completed", data=ctx.event.data))
    return {"order_id": ctx.event.data["order_id"], "price": min(quotes)}


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
async def order_completed(ctx: Context) -> str:
    """`async def` functions run on one background event loop of the process."""
    return await ctx.step.run("thank-customer", lambda: f"thanked the customer of {ctx.event.data['order_id']}")


functions_app = stepserve.wsgi.serve(client, [process_order, order_completed])


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Send each request where it belongs, as a router would do."""
    if environ["PATH_INFO"] == "/api/inngest":
        return functions_app(environ, start_response)
    return place_order(environ, start_response)


def place_order(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """An ordinary route: it sends an event and answers at once; the rest happens in `process_order`."""
    ids = client.send_sync(Event(name="shop/order.created", data=json.loads(stepserve.wsgi.read_body(environ))))
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps({"events": ids}).encode()]


if __name__ == "__main__":
    import waitress

    waitress.serve(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))
