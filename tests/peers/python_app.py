"""Functions of the official Python SDK that the embedded executor runs. The same exist in `typescript/app.mjs`.

`python python_app.py flask|fastapi`, at HOST and PORT of the environment, or `python python_app.py connect`.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import inngest

client = inngest.Inngest(app_id="peer")
functions: list[inngest.Function[Any]] = []


def define(fn_id: str, **options: Any) -> Callable[[Callable[[Any], Any]], inngest.Function[Any]]:
    """Register a function that its own event starts."""

    def register(handler: Callable[[Any], Any]) -> inngest.Function[Any]:
        trigger = inngest.TriggerEvent(event=f"peer/{fn_id}")
        made = client.create_function(fn_id=fn_id, trigger=trigger, **options)(handler)
        functions.append(made)
        return made

    return register


@define("steps")
def steps(ctx: inngest.ContextSync) -> object:
    number: Any = ctx.event.data["number"]
    doubled = ctx.step.run("double", lambda: number * 2)
    increased = ctx.step.run("increase", lambda: doubled + 1)
    return {"doubled": doubled, "increased": increased, "text": "é\u2028ß😀"}


@define("none")
async def none(ctx: inngest.Context) -> object:
    del ctx
    return "no steps"


@define("repeated")
def repeated(ctx: inngest.ContextSync) -> object:
    return [ctx.step.run("same", lambda number=number: number) for number in range(3)]  # type: ignore[misc]


@define("retried", retries=1)
async def retried(ctx: inngest.Context) -> object:
    async def flaky() -> str:
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("not yet", 50)
        return f"attempt {ctx.attempt}"

    return await ctx.step.run("flaky", flaky)


@define("caught", retries=0)
def caught(ctx: inngest.ContextSync) -> object:
    def bad() -> None:
        raise ValueError("no good")

    try:
        ctx.step.run("bad", bad)
    except inngest.StepError as error:
        return f"caught: {error.message}"
    return "nothing was thrown"


async def tell(ctx: inngest.Context) -> None:
    data: Any = ctx.event.data
    heard_data = {"message": data["error"]["message"], "original": data["event"]["name"]}
    await ctx.step.send_event("tell", inngest.Event(name="peer/heard", data=heard_data))


@define("failed", retries=0, on_failure=tell)
async def failed(ctx: inngest.Context) -> object:
    raise ValueError("boom")


@define("heard")
def heard(ctx: inngest.ContextSync) -> object:
    return ctx.event.data


@define("slept")
def slept(ctx: inngest.ContextSync) -> object:
    ctx.step.sleep("nap", datetime.timedelta(hours=1))
    return "woken"


@define("waited")
async def waited(ctx: inngest.Context) -> object:
    found = await ctx.step.wait_for_event(
        "answer",
        event="peer/answer",
        if_exp="async.data.key == event.data.key",
        timeout=datetime.timedelta(seconds=30),
    )
    silence = await ctx.step.wait_for_event("silence", event="peer/never", timeout=datetime.timedelta(minutes=1))
    assert found is not None
    return {"found": found.data["value"], "none": silence}


@define("child")
def child(ctx: inngest.ContextSync) -> object:
    name = ctx.step.run("name", lambda: ctx.event.data["name"])
    if name == "bad":
        raise inngest.NonRetriableError("bad child")
    return f"hello {name}"


@define("invoked", retries=0)
async def invoked(ctx: inngest.Context) -> object:
    good = await ctx.step.invoke("good", function=child, data={"name": "world"})
    bad = "nothing was thrown"
    try:
        await ctx.step.invoke("bad", function=child, data={"name": "bad"})
    except inngest.StepError as error:
        bad = f"caught: {error.message}"
    return {"good": good, "bad": bad}


@define("parallel")
async def parallel(ctx: inngest.Context) -> object:
    def square(number: int) -> Callable[[], Any]:
        async def squared() -> int:
            return number * number

        return lambda: ctx.step.run(f"square {number}", squared)

    numbers = await ctx.group.parallel(tuple(square(number) for number in range(1, 6)))

    async def add() -> int:
        return sum(numbers)

    return await ctx.step.run("sum", add)


@define("branches")
def branches(ctx: inngest.ContextSync) -> object:
    def branch(name: str) -> Callable[[], str]:
        def both() -> str:
            first = ctx.step.run(f"{name} 1", lambda: name)
            return ctx.step.run(f"{name} 2", lambda: f"{first}{name}")

        return both

    return ctx.group.parallel(tuple(branch(name) for name in "abc"))


@define("sent")
def sent(ctx: inngest.ContextSync) -> object:
    return len(ctx.step.send_event("send", [inngest.Event(name="peer/unheard"), inngest.Event(name="peer/unheard")]))


@define("batched", batch_events=inngest.Batch(max_size=3, timeout=datetime.timedelta(seconds=30)))
def batched(ctx: inngest.ContextSync) -> object:
    numbers: list[Any] = [event.data["number"] for event in ctx.events]
    return sorted(numbers)


@define("cancelled", cancel=[inngest.Cancel(event="peer/cancel", if_exp="async.data.key == event.data.key")])
def cancelled(ctx: inngest.ContextSync) -> object:
    ctx.step.sleep("long", datetime.timedelta(hours=1))
    return "not cancelled"


@define("large")
def large(ctx: inngest.ContextSync) -> object:
    return sum(len(ctx.step.run(f"large {number}", lambda: "x" * 1_000_000)) for number in range(6))


@define("killed")
def killed(ctx: inngest.ContextSync) -> object:
    if ctx.attempt == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"attempt {ctx.attempt}"


def main() -> None:
    """Serve the functions."""
    if sys.argv[1] == "connect":
        from inngest.connect import connect

        asyncio.run(connect([(client, functions)]).start())
        return
    host, port = os.environ["HOST"], int(os.environ["PORT"])
    if sys.argv[1] == "flask":
        import flask
        import inngest.flask
        import waitress

        web = flask.Flask("peer")
        inngest.flask.serve(web, client, functions)
        waitress.serve(web, host=host, port=port, threads=8)
    else:
        import fastapi
        import inngest.fast_api
        import uvicorn

        api = fastapi.FastAPI()
        inngest.fast_api.serve(api, client, functions)
        config = uvicorn.Config(api, host=host, port=port, log_level="warning")
        asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
