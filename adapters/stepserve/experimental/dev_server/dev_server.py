"""The executor in a thread of the test process (protocol.md 10.10). Nothing is kept after it stops."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future

from stepserve_core._settings import is_enabled
from stepserve_core.errors import ConfigurationError

DEFAULT_PORT = 8288
GRACE = 1.0
"""Seconds that calls under way are given when it stops."""


class DevServer:
    """A server for development, at DEV_SERVER_PORT (8288 if that is not set; 0 takes a free port).

    With DEV_SERVER_ENABLED=0, `start` and `stop` do nothing: a server is running already.
    """

    def __init__(self) -> None:
        self.port = int(os.environ.get("DEV_SERVER_PORT") or DEFAULT_PORT)
        self._is_enabled = is_enabled(os.environ.get("DEV_SERVER_ENABLED", "1"))
        self._running: _Running | None = None

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when requests are answered. Starting twice does nothing.

        Raises:
            ConfigurationError: the port is taken.
            ImportError: stepserve[server] is not installed.
        """
        if self._is_enabled and self._running is None:
            self._running = _Running(self.port)
            try:
                self.port = self._running.started.result()
            except BaseException:
                self._running = None
                raise

    def stop(self) -> None:
        """Stop, and return when the port is free again. Stopping what does not run does nothing."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()


class _Running:
    """A thread with an event loop in which the executor serves."""

    def __init__(self, port: int) -> None:
        self.started: Future[int] = Future()
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="stepserve-dev-server", daemon=True)
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

        config = ServerConfig(kind="dev", port=self._port, poll=False, grace=GRACE)
        async with serving(config) as running:
            if self._port not in (0, running.port):  # the executor moves on to the next free port
                raise ConfigurationError(f"port {self._port} is taken; set DEV_SERVER_PORT to another one, or to 0")
            self.started.set_result(running.port)
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


server = DevServer()
"""The server of this process."""
