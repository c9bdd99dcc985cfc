"""Connections of the gateway, bounded as those of the API are: how many there are, and how long one may not read."""

from __future__ import annotations

import asyncio
from typing import cast

from websockets.asyncio.server import ServerConnection

from stepserve_core.executor.http_protocol import most_connections
from stepserve_core.executor.slow_readers import ReaderWatch, Watched

HANDSHAKE_TIMEOUT = 10.0
"""Seconds from the connection to the end of its headers."""

_CROWDED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 37\r\nconnection: close\r\n\r\n"
    b"too many connections; try again later"
)


def bounded_connections() -> type[ServerConnection]:
    """Return the type of the connections of one gateway; they are counted together."""
    open_ones: set[asyncio.Transport] = set()

    class BoundedConnection(Watched, ServerConnection):
        """A connection of this gateway."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin a connection, or refuse it where there are too many."""
            self._socket = cast("asyncio.Transport", transport)  # of TCP, it is one
            self._reader = ReaderWatch(self.loop, self._socket, lambda: open_ones)
            open_ones.add(self._socket)
            super().connection_made(transport)
            if len(open_ones) > most_connections():
                self._socket.write(_CROWDED)
                self._socket.close()

        def connection_lost(self, exc: Exception | None) -> None:
            """End."""
            open_ones.discard(self._socket)
            super().connection_lost(exc)

    return BoundedConnection
