"""A server for tests: `server.start()`, then `server.stop()`. It is this package's own executor."""

from stepserve.experimental.dev_server.dev_server import server

__all__ = ["server"]
