"""Durable functions with nothing but the standard library's HTTP server.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/http_server/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1"}'
"""

import asyncio
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stepserve.http_server
from stepserve import Context, ContextSync, Event, Inngest, TriggerEvent

client = Inngest(app_id="plain-shop")


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, str]:
    """Each step runs once, whatever happens between them."""
    order_id = ctx.event.data["order_id"]
    charge = ctx.step.run("charge-card", lambda: f"charged {order_id}")
    ctx.step.sleep("cooling-off", "1s")
    ctx.step.send_event("announce", Event(name="shop/order.completed", data=ctx.event.data))
    return {"order_id": order_id, "charge": charge}


async def thank(order_id: str) -> str:
    await asyncio.sleep(0.05)  # stands for an HTTP call
    return f"thanked the customer of {order_id}"


@client.create_function(fn_id="order-completed", trigger=TriggerEvent(event="shop/order.completed"))
async def order_completed(ctx: Context) -> str:
    """`async def` works here too."""
    return await ctx.step.run("thank-customer", thank, ctx.event.data["order_id"])


class Shop(BaseHTTPRequestHandler):
    """All paths but /api/inngest come here."""

    def do_POST(self) -> None:
        """Place an order: send an event and answer at once; the rest happens in `process_order`."""
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps({"events": client.send_sync(Event(name="shop/order.created", data=data))}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


app = stepserve.http_server.serve(client, [process_order, order_completed], base=Shop)

if __name__ == "__main__":
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    ThreadingHTTPServer(address, app).serve_forever()
