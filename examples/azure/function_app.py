"""A small shop on Azure Functions, in the programming model v2: this file, host.json and requirements.txt.

On your machine, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:7071/api/inngest
    INNGEST_DEV=1 func start

`func` is Microsoft's "Azure Functions Core Tools"; without it, `python run_locally.py` serves the same on PORT. In
production set INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY, leave INNGEST_DEV away, and deploy:

    func azure functionapp publish YOUR-APP
"""

from typing import Any

import azure.functions

import stepserve.azure
from stepserve import Context, Inngest, TriggerEvent

client = Inngest(app_id="azure-shop")


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
async def process_order(ctx: Context) -> dict[str, Any]:
    """Each step runs once; between them no function is running, and none is paid for."""
    stock = await ctx.step.run("reserve-stock", lambda: f"reserved for {ctx.event.data['order_id']}")
    await ctx.step.sleep("cooling-off", "1s")
    shipment = await ctx.step.run("ship", lambda: f"shipped {ctx.event.data['order_id']}")
    return {"stock": stock, "shipment": shipment}


app = azure.functions.FunctionApp()
app.register_functions(stepserve.azure.blueprint(client, [process_order]))
