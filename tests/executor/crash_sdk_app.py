"""An app in a process of its own, for tests that kill it: `python -m tests.executor.crash_sdk_app PORT SERVER JOURNAL`.

Its functions checkpoint. It appends to the journal what calls bring, what is executed, and what was saved.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import uvicorn

import stepserve
import stepserve.asgi
from stepserve import Checkpointing, Context, ContextSync, Inngest, TriggerEvent
from stepserve_core import _checkpoint_api
from stepserve_core.executor.listening import QuietServer
from tests.core.calls import hashed

STEPS = 8


class Journal:
    """Lines that survive the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *words: str) -> None:
        os.write(self._file, (" ".join(words) + "\n").encode())


def functions(client: Inngest, journal: Journal) -> list[stepserve.Function[Any]]:
    """A function of each colour; one saves each step before the next, the other in batches."""

    def execute(run_id: str, number: int) -> int:
        journal.write("step", run_id, hashed(f"s{number}"))
        return number

    @client.create_function(fn_id="each", trigger=TriggerEvent(event="test/each"), checkpointing=True, retries=20)
    def each(ctx: ContextSync) -> list[int]:
        outputs = [ctx.step.run(f"s{number}", execute, ctx.run_id, number) for number in range(STEPS)]
        ctx.step.sleep("nap", 10)
        return [*outputs, ctx.step.run("last", lambda: ctx.event.data["n"])]

    settings = Checkpointing(batch_steps=3, batch_interval=20)

    @client.create_function(fn_id="batch", trigger=TriggerEvent(event="test/batch"), checkpointing=settings, retries=20)
    async def batch(ctx: Context) -> list[int]:
        outputs: list[int] = []
        for number in range(STEPS):
            outputs.append(await ctx.step.run(f"s{number}", execute, ctx.run_id, number))
            await asyncio.sleep(0.002)
        return [*outputs, await ctx.step.run("last", lambda: ctx.event.data["n"])]

    return [each, batch]


def watch(journal: Journal) -> type[stepserve.Middleware]:
    """Return middleware that notes the memos that a call brings."""

    class Watcher(stepserve.Middleware):
        def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
            journal.write("call", ctx.run_id, *steps._memos)

    return Watcher


async def main() -> None:
    port, server, path = sys.argv[1:]
    journal = Journal(path)
    save = _checkpoint_api.CheckpointAPI.save

    async def noted(self: Any, runtime: Any, call: Any, steps: Any) -> None:
        steps = list(steps)
        await save(self, runtime, call, steps)
        journal.write("saved", call.run_id, *[step.id for step in steps])

    _checkpoint_api.CheckpointAPI.save = noted  # type: ignore[method-assign]
    _checkpoint_api.PAUSE = 0.2
    client = Inngest(
        app_id="app",
        api_base_url=server,
        event_api_base_url=server,
        is_production=False,
        middleware=[watch(journal)],
    )
    app = stepserve.asgi.serve(client, functions(client, journal))
    config = uvicorn.Config(app, port=int(port), log_config=None, lifespan="off")
    running = QuietServer(config)
    task = asyncio.create_task(running.serve())
    await running.listening.wait()
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await task


if __name__ == "__main__":
    asyncio.run(main())
