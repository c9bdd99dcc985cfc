"""A durable endpoint: an order is charged once, whatever happens to the process in between.

Start a server with `stepserve dev`, then this with `INNGEST_DEV=1 python app.py`, and ask it with
`curl -L -d '' localhost:5000/checkout/A-1`.
"""

from __future__ import annotations

import os

import flask

import stepserve
from stepserve import Inngest, StepSync

app = flask.Flask(__name__)
client = Inngest(app_id="endpoint-shop")


def charge(order_id: str) -> str:
    """Charge the order; done once for each request."""
    return f"charged {order_id}"


@app.post("/checkout/<order_id>")
@stepserve.endpoint(client)
def checkout(order_id: str, step: StepSync) -> dict[str, str]:
    """Charge, wait a moment, pack."""
    receipt = step.run("charge", charge, order_id)
    step.sleep("cool-off", 100)
    parcel = step.run("pack", lambda: f"packed {order_id}")
    return {"receipt": receipt, "parcel": parcel}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
