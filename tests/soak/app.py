"""The app of the soak, in a process that is killed: `python -m tests.soak.app PORT SERVER JOURNAL`.

It appends to the journal which memos calls bring and which steps they execute, so that a step that ran again although
its result was recorded is found, whoever forgot it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import uvicorn

import stepserve
import stepserve.asgi
from stepserve import Context, ContextSync, Event, Function, Inngest, TriggerEvent
from tests.core.calls import hashed
from tests.soak.keys import EVENT_KEY, SIGNING_KEY

RETRIES = 20
"""Attempts that the death of the app may use up."""


class Journal:
    """Lines that survive the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: str | None) -> None:
        os.write(self._file, (" ".join(word or "-" for word in words) + "\n").encode())

    def middleware(self) -> type[stepserve.Middleware]:
        """Return what notes the memos that a call brings."""
        journal = self

        class Watcher(stepserve.Middleware):
            def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
                journal.write("call", ctx.run_id, ctx.request_id, *steps._memos)

        return Watcher

    def step(self, ctx: Context | ContextSync, name: str, value: Any = None) -> Any:
        """Note that a step is executed; return what the step is to return."""
        self.write("step", ctx.run_id, ctx.request_id, hashed(name))
        return value


class Functions:
    """Functions of both colours, with every kind of step that waits for somebody."""

    def __init__(self, client: Inngest, journal: Journal) -> None:
        self._client = client
        self._step = journal.step
        self._child = self._define("child", self._run_child)
        by_third = stepserve.Concurrency(limit=2, key="string(int(event.data.n) % 3)")
        on_stop = stepserve.Cancel(event="soak/stop", if_exp="async.data.n == event.data.n")
        self.all = [
            self._child,
            self._define("pipeline", self._run_pipeline),
            self._define("limited", self._run_limited, concurrency=[by_third]),
            self._define("saving", self._run_saving, checkpointing=True),
            self._define("waiter", self._run_waiter),
            self._define("impatient", self._run_impatient),
            self._define("stuck", self._run_stuck, cancel=[on_stop]),
            self._define("flaky", self._run_flaky),
            self._define("sender", self._run_sender),
            self._define("told", self._run_told),
        ]

    def _define(self, name: str, handler: Any, **options: Any) -> Function[Any]:
        trigger = TriggerEvent(event=f"soak/{name}")
        made: Function[Any] = self._client.create_function(fn_id=name, trigger=trigger, retries=RETRIES, **options)(
            handler
        )
        return made

    async def _run_child(self, ctx: Context) -> int:
        return await ctx.step.run("double", lambda: int(self._step(ctx, "double", ctx.event.data["n"])) * 2)

    async def _run_pipeline(self, ctx: Context) -> Any:
        first = await ctx.step.run("first", lambda: self._step(ctx, "first", ctx.event.data["n"]))
        await ctx.step.sleep("nap", 1000)
        parts = await asyncio.gather(*[ctx.step.run(f"part-{k}", self._step, ctx, f"part-{k}", k) for k in "abc"])
        doubled = await ctx.step.invoke("child", function=self._child, data={"n": first})
        return [first, "".join(parts), doubled]

    def _run_limited(self, ctx: ContextSync) -> Any:
        both = ctx.group.parallel(
            (
                lambda: ctx.step.run("left", self._step, ctx, "left", "l"),
                lambda: ctx.step.run("right", self._step, ctx, "right", "r"),
            )
        )
        return [*both, ctx.step.run("last", self._step, ctx, "last", ctx.event.data["n"])]

    def _run_saving(self, ctx: ContextSync) -> Any:
        outputs = [ctx.step.run(f"s{k}", self._step, ctx, f"s{k}", k) for k in range(6)]
        ctx.step.sleep("nap", 1000)
        return [*outputs, ctx.step.run("last", self._step, ctx, "last", ctx.event.data["n"])]

    async def _run_waiter(self, ctx: Context) -> Any:
        is_ours = "async.data.n == event.data.n"
        event = await ctx.step.wait_for_event("go", event="soak/go", timeout="1h", if_exp=is_ours)
        signal = await ctx.step.wait_for_signal("signal", signal=f"s-{ctx.event.data['n']}", timeout="1h")
        return [None if event is None else event.data["n"], None if signal is None else signal.data]

    def _run_impatient(self, ctx: ContextSync) -> Any:
        never = ctx.step.wait_for_event("never", event="soak/never", timeout=1000)
        try:
            # Nobody stops this number: the invocation must end by its timeout.
            ctx.step.invoke_by_id("stuck", function_id="stuck", data={"n": -1}, timeout=1000)
        except stepserve.StepError as error:
            return [never, error.name]
        return "the invocation ended"

    async def _run_stuck(self, ctx: Context) -> None:
        await ctx.step.wait_for_event("never", event="soak/never", timeout="1h")

    def _run_flaky(self, ctx: ContextSync) -> Any:
        def fail_at_first() -> int:
            if ctx.attempt == 0:
                raise ConnectionError("not yet")
            return int(self._step(ctx, "flaky", ctx.event.data["n"]))

        number = ctx.step.run("flaky", fail_at_first)
        try:
            ctx.step.invoke_by_id("bad", function_id="missing")
        except stepserve.StepError as error:
            return [number, error.name]
        return "the invocation did not fail"

    async def _run_sender(self, ctx: Context) -> Any:
        n = ctx.event.data["n"]
        sent = await ctx.step.send_event("tell", Event(name="soak/told", data={"n": n}))
        return [n, len(sent)]

    def _run_told(self, ctx: ContextSync) -> Any:
        return ctx.step.run("hear", self._step, ctx, "hear", ctx.event.data["n"])


def expected(n: int) -> dict[str, tuple[str, Any]]:
    """Return function to what its run for the number `n` must end with."""
    done = "Completed"
    return {
        "pipeline": (done, [n, "abc", n * 2]),
        "limited": (done, ["l", "r", n]),
        "saving": (done, [0, 1, 2, 3, 4, 5, n]),
        "waiter": (done, [n, n]),
        "impatient": (done, [None, "InngestInvokeTimeoutError"]),
        "stuck": ("Cancelled", None),
        "flaky": (done, [n, "Error"]),
        "sender": (done, [n, 1]),
    }


def main() -> None:
    """Serve until somebody kills us."""
    port, server, journal = sys.argv[1:]
    watched = Journal(journal)
    client = Inngest(
        app_id="app",
        api_base_url=server,
        event_api_base_url=server,
        is_production=True,
        signing_key=SIGNING_KEY,
        event_key=EVENT_KEY,
        middleware=[watched.middleware()],
    )
    uvicorn.run(
        stepserve.asgi.serve(client, Functions(client, watched).all),
        port=int(port),
        log_level="critical",
        lifespan="off",
    )


if __name__ == "__main__":
    main()
