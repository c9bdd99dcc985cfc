"""A worker in a process of its own, for tests that kill it: `python -m tests.connect.worker_process FILE`.

What it does is written to FILE, a line each. The function `waits` begins, and ends when FILE.go exists.
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
import time
from typing import Any

from stepserve import Inngest, TriggerEvent
from stepserve.connect import connect
from stepserve_core.connect.timing import Timing, replaced_timing

client = Inngest(app_id="app")
notes = pathlib.Path(sys.argv[1])


def note(text: str) -> None:
    with notes.open("a") as file:
        file.write(f"{text}\n")


@client.create_function(fn_id="f", trigger=TriggerEvent(event="test/x"), retries=2)
def waits(ctx: Any) -> object:
    first = ctx.step.run("first", lambda: note("first"))
    note(f"begun {ctx.attempt}")
    while not notes.with_suffix(".go").exists():
        time.sleep(0.01)
    return [first, ctx.attempt, ctx.step.run("last", lambda: "last")]


if __name__ == "__main__":
    with replaced_timing(Timing(backoff=(0.05,), first_attempts=200)):
        connection = connect([(client, [waits])])
    asyncio.run(connection.start())
    note("ended")
