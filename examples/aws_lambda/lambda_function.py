"""A small shop as an AWS Lambda function, behind a function URL, API Gateway or a load balancer.

On your machine, without keys (two terminals):

    stepserve dev -u http://127.0.0.1:8000
    INNGEST_DEV=1 python examples/aws_lambda/run_locally.py

In production set INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY and leave INNGEST_DEV away. Pack this file with its
libraries (`pip install --target package stepserve`), let "Handler" say `lambda_function.lambda_handler`, and give the
function a URL that needs no authentication of AWS: calls are signed.
"""

from typing import Any

import stepserve.aws_lambda
from stepserve import ContextSync, Inngest, TriggerEvent

client = Inngest(app_id="lambda-shop")


@client.create_function(fn_id="process-order", trigger=TriggerEvent(event="shop/order.created"))
def process_order(ctx: ContextSync) -> dict[str, Any]:
    """Each step runs once; between them no function is running, and none is paid for."""
    stock = ctx.step.run("reserve-stock", lambda: f"reserved for {ctx.event.data['order_id']}")
    ctx.step.sleep("cooling-off", "1s")
    shipment = ctx.step.run("ship", lambda: f"shipped {ctx.event.data['order_id']}")
    return {"stock": stock, "shipment": shipment}


lambda_handler = stepserve.aws_lambda.serve(client, [process_order])
