"""A real executor in a thread of the test process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:
    from stepserve_core.executor.fault_report import FaultReport
    from stepserve_core.faults import Faults

GRACE = 1.0
"""Seconds that calls under way are given when it stops."""


class ServerThread:
    """A thread with an event loop in which the executor serves.

    `started` is the port, or why there is none; `fault_report` is there from then on.
    """

    fault_report: FaultReport

    def __init__(self, port: int, faults: Faults | None = None) -> None:
        self.started: Future[int] = Future()
        self._port = port
        self._faults = faults
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="stepserve-server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            if self.started.done():
                raise
            self.started.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        from stepserve_core.executor.server import ServerConfig, serving  # noqa: PLC0415 - needs stepserve[server]

        config = ServerConfig(kind="dev", port=self._port, poll=False, grace=GRACE, faults=self._faults)
        async with serving(config) as running:
            if self._port not in (0, running.port):  # the executor moves on to the next free port
                raise ConfigurationError(f"port {self._port} is taken; set DEV_SERVER_PORT to another one, or to 0")
            self.fault_report = running.fault_report
            self.started.set_result(running.port)
            await self._stop.wait()

    def stop(self) -> None:
        """Stop, and return when the port is free again."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
