"""The executor in a thread of the test process (protocol.md 10.10). Nothing is kept after it stops."""

from __future__ import annotations

import os

from stepserve_core._settings import is_enabled
from stepserve_core.server_thread import ServerThread

DEFAULT_PORT = 8288


class DevServer:
    """A server for development, at DEV_SERVER_PORT (8288 if that is not set; 0 takes a free port).

    With DEV_SERVER_ENABLED=0, `start` and `stop` do nothing: a server is running already.
    """

    def __init__(self) -> None:
        self.port = int(os.environ.get("DEV_SERVER_PORT") or DEFAULT_PORT)
        self._is_enabled = is_enabled(os.environ.get("DEV_SERVER_ENABLED", "1"))
        self._running: ServerThread | None = None

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
            self._running = ServerThread(self.port)
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


server = DevServer()
"""The server of this process."""
