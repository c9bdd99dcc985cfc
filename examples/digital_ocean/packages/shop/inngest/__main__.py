"""A small shop on DigitalOcean Functions: the function `shop/inngest`.

On your machine, without keys (two terminals; needs `pip install flask`):

    INNGEST_DEV=1 python examples/digital_ocean/run_locally.py
    stepserve dev -u http://127.0.0.1:8000/api/v1/web/fn-00000000/fake-name

In production put INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY into the file .env beside project.yml, and deploy:

    doctl serverless deploy examples/digital_ocean
"""

from typing import Any

import stepserve.digital_ocean
from stepserve import ContextSync, Inngest, TriggerEvent

client = Inngest(app_id="digital-ocean-shop")


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, Any]:
    """Each step runs once; between them no function is running, and none is paid for."""
    stock = ctx.step.run("reserve-stock", lambda: f"reserved for {ctx.event.data['order_id']}")
    ctx.step.sleep("cooling-off", "1s")
    shipment = ctx.step.run("ship", lambda: f"shipped {ctx.event.data['order_id']}")
    return {"stock": stock, "shipment": shipment}


main = stepserve.digital_ocean.serve(client, [process_order])
