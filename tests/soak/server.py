"""The server of the soak, in a process that is killed: `python -m tests.soak.server FILE PORT FAULTS`.

It writes to stdout what it has injected so far, because it will not be asked before it dies.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from stepserve_core.executor.server import ServerConfig, serving
from stepserve_core.faults import Faults
from tests.soak.keys import EVENT_KEY, SIGNING_KEY

PAUSE = 0.1
RETRY_INTERVAL = 0.4
"""Seconds between attempts: all of them together last longer than the app takes to come back."""


async def main() -> None:
    """Serve until SIGTERM."""
    database, port, faults = sys.argv[1:]
    config = ServerConfig(
        kind="cloud",
        port=int(port),
        database=database,
        signing_key=SIGNING_KEY,
        event_keys=[EVENT_KEY],
        retry_interval=RETRY_INTERVAL,
        faults=Faults.parse(faults),
        poll=False,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serving(config) as running:
        while not stop.is_set():
            report = running.fault_report
            wrong = [*report.executed_again, *report.nondeterministic, *report.changed, *report.changed_arguments]
            seen = {"injected": report.injected, "wrong": [str(finding) for finding in wrong]}
            sys.stdout.write(f"{json.dumps(seen)}\n")
            sys.stdout.flush()
            await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=PAUSE)


if __name__ == "__main__":
    asyncio.run(main())
