"""A shop in Flask, as its README shows it, called as a server calls it."""

# ruff: noqa: T201 - what it prints is compared

from __future__ import annotations

import json
import logging
from typing import Any

import flask
import inngest
import inngest.flask

logging.disable(logging.CRITICAL)
app = flask.Flask(__name__)
client = inngest.Inngest(app_id="shop", is_production=False, logger=logging.getLogger("shop"))


@client.create_function(
    fn_id="charge",
    trigger=inngest.TriggerEvent(event="shop/order.created", expression="event.data.total > 0"),
    retries=2,
    concurrency=[inngest.Concurrency(limit=2, key="event.data.user")],
    throttle=inngest.Throttle(limit=10, period=60_000),
    cancel=[inngest.Cancel(event="shop/order.cancelled", if_exp="async.data.id == event.data.id")],
)
def charge(ctx: inngest.ContextSync) -> object:
    """Charge an order."""
    payment = ctx.step.run("pay", lambda: {"paid": ctx.event.data["total"]})
    ctx.step.sleep("cool-down", 60_000)
    answer = ctx.step.wait_for_event("wait", event="shop/shipped", timeout=1000 * 3600)
    if answer is None:
        raise inngest.NonRetriableError("never shipped")
    data: Any = answer.data
    return {"payment": payment, "carrier": data["carrier"], "attempt": ctx.attempt, "run": ctx.run_id}


def on_failure(ctx: inngest.ContextSync) -> str:
    """Tell somebody."""
    data: Any = ctx.event.data
    return str(data["error"]["message"])


@client.create_function(fn_id="risky", trigger=inngest.TriggerCron(cron="0 9 * * *"), on_failure=on_failure)
def risky(ctx: inngest.ContextSync) -> object:
    """Fail now and then."""

    def fail() -> None:
        raise ValueError("no luck")

    try:
        ctx.step.run("try", fail)
    except inngest.StepError as error:
        return [error.name, error.message]
    return None


inngest.flask.serve(app, client, [charge, risky])


def call(fn_id: str, steps: dict[str, Any], data: Any = None, **ctx: Any) -> Any:
    """Call a function as a server does."""
    event = {"name": "shop/order.created", "data": data or {"total": 5, "id": 1}, "id": "e", "ts": 1}
    head = {"attempt": 0, "disable_immediate_execution": False, "run_id": "r1", "stack": {"stack": list(steps)}}
    body = {
        "ctx": {**head, **ctx},
        "event": event,
        "events": [event],
        "steps": steps,
        "use_api": False,
    }
    reply = app.test_client().post(f"/api/inngest?fnId={fn_id}&stepId=step", json=body)
    return reply.status_code, reply.headers.get("x-inngest-no-retry"), reply.get_json()


def show(status: int, no_retry: str | None, answer: Any) -> Any:
    """Print an answer without what differs from call to call."""
    for one in answer if isinstance(answer, list) else [answer]:
        if isinstance(one, dict):
            one.pop("stack", None)
            if one.get("error"):
                one["error"].pop("stack", None)
            if one.get("op") == "Sleep":
                one.pop("name")
    print(status, no_retry, json.dumps(answer, sort_keys=True))
    return answer


steps: dict[str, Any] = {}
shipped = {"name": "s", "data": {"carrier": "ups"}, "id": "", "ts": 1}
for result in ({"data": {"paid": 5}}, {"data": None}, {"data": shipped}):
    steps[show(*call("shop-charge", steps))[0]["id"]] = result
show(*call("shop-charge", steps))
steps[list(steps)[-1]] = {"data": None}
show(*call("shop-charge", steps))
(op,) = show(*call("shop-risky", {}, max_attempts=2))
show(*call("shop-risky", {}, attempt=1, max_attempts=2))
show(*call("shop-risky", {op["id"]: {"error": {"name": "ValueError", "message": "no luck", "stack": None}}}))
show(*call("shop-risky-failure", {}, data={"error": {"message": "gone"}}))
for function in (charge, risky):
    config: Any = function.get_config("http://app")
    main = config.main if isinstance(config.main, dict) else config.main.to_dict()
    print(function.id, function.local_id, function.name, function.on_failure_fn_id, sorted(k for k in main if main[k]))
