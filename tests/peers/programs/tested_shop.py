"""Tests of a shop with the official helpers for tests."""

# ruff: noqa: T201 - what it prints is compared

from __future__ import annotations

from typing import Any

import inngest
from inngest._internal import const, errors, net, server_lib, transforms, types
from inngest.experimental import mocked, step

bad: Any = inngest
client = mocked.Inngest(app_id="shop", is_production=False)


@step("greet")
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="x"))
def function(ctx: inngest.ContextSync) -> object:
    """Greet, and wait."""
    greeting = greet("you")
    event = ctx.step.wait_for_event("wait", event="y", timeout=1000)
    called = ctx.step.invoke_by_id("call", function_id="g")
    ids = ctx.step.send_event("send", [inngest.Event(name="a"), inngest.Event(name="b")])
    return {"greeting": greeting, "event": event and event.data, "called": called, "ids": ids}


event = inngest.Event(name="x", data={"a": 1})
result = mocked.trigger(
    function, event, client, step_stubs={"wait": inngest.Event(name="y", data={"b": 2}), "call": [1]}
)
print(result.status, result.output, result.error)
result = mocked.trigger(function, [event], client, step_stubs={"wait": mocked.Timeout, "call": None})
print(result.status.value, result.output)
try:
    mocked.trigger(function, event, client)
except Exception as error:
    print(type(error).__name__, error)


@client.create_function(fn_id="broken", trigger=inngest.TriggerEvent(event="x"), retries=1)
async def broken(ctx: inngest.Context) -> None:
    """Fail."""

    async def fail() -> None:
        raise KeyError("k")

    await ctx.step.run("fail", fail)


result = mocked.trigger(broken, event, client)
print(result.status, type(result.error).__name__, result.error)
print(greet("me"), client.send_sync([event, event]))
made: list[Any] = [
    lambda: bad.Batch(max_size="2"),
    lambda: bad.Concurrency(limit=1, scope="world"),
    lambda: bad.Throttle(limit=1, period=None),
    lambda: bad.Singleton(mode="x"),
]
for make in made:
    try:
        make()
    except errors.FunctionConfigInvalidError as error:
        print(error, error.code.value, error.code is server_lib.ErrorCode.FUNCTION_CONFIG_INVALID)
print(inngest.Batch(max_size=2, timeout=61_000).to_dict(), bad.TriggerEvent.from_raw({"event": "x"}).event)
data = {"n": 1}
kept = inngest.Event(name="x", data=data)
data["n"] = 2
print(kept.data, kept.model_dump() == {"name": "x", "data": {"n": 1}, "id": "", "ts": 0})
print(net.sign_request(b'{"b":1,"a":[1.0]}', "signkey-test-00ff", 1_700_000_000))
print(net.sign_response(b'{"b":1}', "signkey-test-00ff", 1_700_000_000))
print(transforms.to_duration_str(90_000), transforms.hash_step_id("a"), transforms.hash_signing_key("signkey-x-00ff"))
print(const.DEFAULT_SERVE_PATH, const.EnvKey.DEV.value, server_lib.HeaderKey.SIGNATURE.value)
memos: Any = inngest.StepMemos.from_raw(
    {"a": {"data": 1}, "b": {"error": {"name": "N", "message": "m", "stack": None}}}
)
print(memos.size, [(m.data, m.error and (m.error.name, m.error.message)) for m in memos.values()])
print(isinstance(memos.pop("zz"), types.EmptySentinel), memos.pop("a").data, memos.size)
