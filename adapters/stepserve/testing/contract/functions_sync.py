"""The functions that the contract suite calls, as `def`. `functions_async` has the same as `async def`."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

from stepserve import ContextSync, Event, Function, Inngest, NonRetriableError, RetryAfterError, TriggerEvent

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")


def make(client: Inngest) -> list[Function[Any]]:
    """Return the functions."""
    handlers = [two_steps, parallel, echo, letters, facts, fails, fails_in_step, unserializable]
    handlers += [context_variable, where, blocks, sends, nests]
    functions = [client.create_function(fn_id=_id(handler), trigger=_TRIGGER)(handler) for handler in handlers]
    refund = client.create_function(fn_id="refund", trigger=_TRIGGER, on_failure=on_refund_failed, retries=0)(fails)
    child: Function[Any] = refund
    every_kind = client.create_function(fn_id="every-kind", trigger=_TRIGGER)

    @every_kind
    def _every_kind(ctx: ContextSync) -> Any:
        ctx.step.sleep("nap", "1h")
        event = ctx.step.wait_for_event("answer", event="shop/answered", if_exp="event.data.a == 1", timeout="2d")
        invoked = ctx.step.invoke("child", function=child, data={"n": 1})
        by_id = ctx.step.invoke_by_id("other", app_id="billing", function_id="charge", timeout="1m")
        return [event and event.name, invoked, by_id]

    return [*functions, refund, _every_kind]


def two_steps(ctx: ContextSync) -> dict[str, Any]:
    first = ctx.step.run("first", lambda: 1)
    second = ctx.step.run("second", _add, first, 10)
    return {"first": first, "second": second}


def parallel(ctx: ContextSync) -> list[Any]:
    results = ctx.group.parallel(
        (
            lambda: ctx.step.run("left", lambda: "l"),
            lambda: ctx.step.run("right", lambda: "r"),
            lambda: ctx.step.sleep("nap", "1s"),
        )
    )
    return list(results)


def echo(ctx: ContextSync) -> Any:
    return ctx.event.data["payload"]


def letters(ctx: ContextSync) -> str:
    count: int = ctx.event.data["count"]
    return ctx.step.run("letters", lambda: "x" * count)


def facts(ctx: ContextSync) -> dict[str, Any]:
    return {
        "attempt": ctx.attempt,
        "events": [event.name for event in ctx.events],
        "id": ctx.event.id,
        "job_id": ctx.job_id,
        "request_id": ctx.request_id,
        "run_id": ctx.run_id,
        "ts": ctx.event.ts,
    }


def fails(ctx: ContextSync) -> None:
    raise _error(ctx.event.data["how"])


def fails_in_step(ctx: ContextSync) -> str:
    def fail() -> str:
        raise _error(ctx.event.data["how"])

    return ctx.step.run("fail", fail)


def unserializable(ctx: ContextSync) -> object:
    return {"socket": object()}


def context_variable(ctx: ContextSync) -> list[str]:
    return [variable.get(), ctx.step.run("read", variable.get)]


def where(ctx: ContextSync) -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "in a thread without a loop"
    return "on a loop"


def blocks(ctx: ContextSync) -> str:
    """Say that it is here, and block until the other side lets it go."""
    with socket.create_connection(("127.0.0.1", ctx.event.data["gate"])) as gate:
        return gate.recv(16).decode()


def sends(ctx: ContextSync) -> list[str]:
    return ctx.step.send_event("send", [Event(name="shop/one"), Event(name="shop/two")])


def nests(ctx: ContextSync) -> int:
    return ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))


def on_refund_failed(ctx: ContextSync) -> Any:
    return ctx.step.run("report", lambda: ctx.event.data["error"]["message"])


def _error(how: str) -> Exception:
    errors = {
        "for good": NonRetriableError("no use in trying again"),
        "later": RetryAfterError("not now", 60_000),
        "somehow": ValueError("it went wröng"),
    }
    return errors[how]


def _add(left: int, right: int) -> int:
    return left + right


def _id(handler: Any) -> str:
    return str(handler.__name__).replace("_", "-")


_TRIGGER = TriggerEvent(event="shop/tested")
