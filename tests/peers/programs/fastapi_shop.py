"""A shop in FastAPI with async functions, middleware and parallel steps."""

# ruff: noqa: T201 - what it prints is compared

from __future__ import annotations

import asyncio
import datetime
import json
import logging
from typing import Any

import fastapi
import fastapi.testclient
import inngest
import inngest.fast_api
from inngest.experimental.ai import anthropic

logging.disable(logging.CRITICAL)
log: list[Any] = []


class Recorder(inngest.Middleware):
    """Write down what happens."""

    async def transform_input(self, ctx: Any, function: inngest.Function[Any], steps: inngest.StepMemos) -> None:
        """See the memos."""
        await super().transform_input(ctx, function, steps)
        log.append(("in", function.local_id, steps.size, [memo.data for memo in steps.values()]))

    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        """See the output."""
        log.append(("out", result.step.op.value if result.step else None, result.has_output(), str(result.error)))


client = inngest.Inngest(
    app_id="shop", is_production=False, middleware=[Recorder], serializer=inngest.PydanticSerializer()
)


@client.create_function(fn_id="other", trigger=inngest.TriggerEvent(event="x"), output_type=datetime.date)
async def other(ctx: inngest.Context) -> datetime.date:
    """Return a day."""
    return datetime.date(2030, 1, 2)


@client.create_function(fn_id="order", trigger=[inngest.TriggerEvent(event="a"), inngest.TriggerEvent(event="b")])
async def order(ctx: inngest.Context) -> object:
    """Do everything at once."""

    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    await ctx.step.invoke("ask", function=other, data={"k": 1}, timeout=datetime.timedelta(hours=1))
    await ctx.group.parallel(
        (
            lambda: ctx.step.run("double", double, 1),
            lambda: ctx.step.run("double", double, 2),
            lambda: ctx.step.wait_for_event("w", event="z", if_exp="a == b", timeout=datetime.timedelta(days=7)),
        ),
        parallel_mode=inngest.ParallelMode.RACE,
    )
    await ctx.step.ai.infer(
        "think", adapter=anthropic.Adapter(auth_key="k", model="m"), body={"max_tokens": 1, "messages": []}
    )
    await ctx.step.sleep_until("until", datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc))
    raise inngest.RetryAfterError("later", datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc), quiet=True)


app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, [order, other])
http = fastapi.testclient.TestClient(app)


def call(fn_id: str, steps: dict[str, Any], target: str = "step") -> Any:
    """Call a function as a server does."""
    event = {"name": "a", "data": {}, "id": "e", "ts": 1}
    body = {
        "ctx": {"attempt": 0, "disable_immediate_execution": False, "run_id": "r1", "stack": {"stack": list(steps)}},
        "event": event,
        "events": [event],
        "steps": steps,
        "use_api": False,
    }
    reply = http.post(f"/api/inngest?fnId={fn_id}&stepId={target}", json=body)
    answer = reply.json()
    if isinstance(answer, dict):
        answer.pop("stack", None)
    print(reply.status_code, reply.headers.get("retry-after"), json.dumps(answer, sort_keys=True))
    return answer


steps: dict[str, Any] = {}
(op,) = call("shop-order", steps)
steps[op["id"]] = {"data": "2030-01-02"}
planned = call("shop-order", steps)
for op in planned[:2]:
    call("shop-order", dict(steps), op["id"])
for op in planned:
    steps[op["id"]] = {"data": None}
for _ in range(2):
    (op,) = call("shop-order", steps)
    steps[op["id"]] = {"data": None}
call("shop-order", steps)
call("shop-other", {})
for line in log:
    print(line)
print(json.dumps(http.get("/api/inngest").json(), sort_keys=True).replace("0.5.19", "?").replace("0.1.0", "?"))
