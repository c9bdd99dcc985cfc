"""Writes a sample file for the tests of migrations, with whatever version of the executor is on the path.

Run it from the repository when the schema has a new version, before that is merged; for an older one, from a checkout
of that version: `PYTHONPATH=core:. python tests/executor/write_sample.py tests/executor/databases/schema_8.sql`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.server import ServerConfig
from tests.executor.raw_app import Call, Fn, run, sleep, wait
from tests.executor.system import System, running_system

MADE_AT = 1_700_000_000.0
HOUR = 3600


def napper(call: Call) -> Any:
    """Take a step, sleep, take another one."""
    first = yield run("first", call.event["data"]["n"])
    yield sleep("nap", "1h")
    return [first, (yield run("last", "done"))]


def waiter(call: Call) -> Any:
    """Wait for an event of the same number."""
    event = yield wait("go", "test/go", "2h", "async.data.n == event.data.n")
    return event["data"]["n"]


def collector(call: Call) -> Any:
    """Return the numbers of all events."""
    return [event["data"]["n"] for event in call.body["events"]]
    yield


FUNCTIONS = [
    Fn(
        "napper",
        napper,
        [{"event": "test/nap"}],
        options={"concurrency": [{"limit": 1}], "cancel": [{"event": "test/stop"}]},
    ),
    Fn("waiter", waiter, [{"event": "test/wait"}]),
    Fn("ticker", napper, [{"cron": "0 0 1 1 *"}]),
    Fn("batch", collector, [{"event": "test/batch"}], options={"batchEvents": {"maxSize": 9, "timeout": "1h"}}),
    Fn("debounce", collector, [{"event": "test/debounce"}], options={"debounce": {"period": "1h"}}),
    Fn("later", collector, [{"event": "test/later"}], options={"throttle": {"limit": 1, "period": "1h", "burst": 1}}),
]


async def _fill(system: System) -> None:
    await system.send("test/nap", {"n": 1}, id="nap-1")
    for n in (2, 3):
        await system.send("test/wait", {"n": n}, id=f"wait-{n}")
    await system.idle()
    await system.send("test/go", {"n": 3})
    for n in (4, 5):
        await system.send("test/batch", {"n": n})
        await system.send("test/debounce", {"n": n})
        await system.send("test/later", {"n": n}, ts=int((MADE_AT + HOUR) * 1000))
    await system.idle()


async def _write(path: str) -> None:
    config = ServerConfig(port=0, database=path, poll=False)
    async with running_system(FUNCTIONS, config, VirtualClock(MADE_AT)) as system:
        await _fill(system)


def main(target: str) -> None:
    """Write the file `target`."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "sample.db"))
        asyncio.run(_write(path))
        connection = sqlite3.connect(path)
        lines = list(connection.iterdump())
        pragmas = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        connection.close()
    header = f"-- A file of schema version {pragmas[1].split()[-1][:-1]}, as the executor wrote it."
    Path(target).write_text("\n".join([header, *lines[:-1], *pragmas, lines[-1], ""]))


if __name__ == "__main__":
    main(sys.argv[1])
