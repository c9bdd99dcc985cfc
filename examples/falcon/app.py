"""Durable functions in a Falcon app: WSGI here; `serve()` takes a `falcon.asgi.App` too.

In development, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000/api/inngest
    INNGEST_DEV=1 python examples/falcon/app.py

In production set INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY and, for a server of your own, INNGEST_BASE_URL;
leave INNGEST_DEV away. HOST and PORT say where to listen. Then place an order:

    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' -d '{"order_id": "A-1"}'
"""

import os
import time

import falcon

import stepserve.falcon
from stepserve import Context, ContextSync, Event, Inngest, TriggerEvent

client = Inngest(app_id="falcon-shop")


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


class Orders:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """An ordinary route: it sends an event and answers at once; the rest happens in `process_order`."""
        resp.media = {"events": client.send_sync(Event(name="shop/order.created", data=req.get_media()))}


app = falcon.App()
app.add_route("/orders", Orders())
stepserve.falcon.serve(app, client, [process_order, order_completed])


if __name__ == "__main__":
    import waitress

    waitress.serve(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8000")))
