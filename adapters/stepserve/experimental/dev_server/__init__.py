"""A server for tests: `server.start()`, then `server.stop()`; see `stepserve_core.dev_server`."""

from stepserve_core.dev_server import server

__all__ = ["server"]
