"""Connect: workers that reach the server over a WebSocket, with no port of their own. Needs `stepserve[connect]`."""

from stepserve_core.connect.connection import WorkerConnection, connect
from stepserve_core.connect.state import ConnectionState

__all__ = ["ConnectionState", "WorkerConnection", "connect"]
