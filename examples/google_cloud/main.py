"""A small shop as a Google Cloud Function.

On your machine, without keys (two terminals; needs `pip install functions-framework`):

    stepserve dev -u http://127.0.0.1:8000
    INNGEST_DEV=1 functions-framework --source examples/google_cloud/main.py --target inngest --port 8000

In production set INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY, leave INNGEST_DEV away, and deploy:

    gcloud functions deploy inngest --gen2 --runtime python312 --trigger-http --allow-unauthenticated
"""

from typing import Any

import stepserve.google_cloud
from stepserve import ContextSync, Inngest, TriggerEvent

client = Inngest(app_id="google-cloud-shop")


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, Any]:
    """Each step runs once; between them the function is not running, and costs nothing."""
    stock = ctx.step.run("reserve-stock", lambda: f"reserved for {ctx.event.data['order_id']}")
    ctx.step.sleep("cooling-off", "1s")
    shipment = ctx.step.run("ship", lambda: f"shipped {ctx.event.data['order_id']}")
    return {"stock": stock, "shipment": shipment}


inngest = stepserve.google_cloud.serve(client, [process_order])
