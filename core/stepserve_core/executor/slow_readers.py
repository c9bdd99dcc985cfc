"""Clients that do not read their answers: bounded in time, and in what waits in memory for all of them.

An answer that was written stands in the connection's buffer until the client takes it, and closing a connection waits
for that too; so who reads nothing would hold its place for as long as it likes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable

READ_TIMEOUT = 30.0
"""Seconds in which a client takes `READ_AT_LEAST` of what waits for it, or all where that is less."""

READ_AT_LEAST = 256 * 1024
MOST_UNREAD = 256 * 1024 * 1024
"""Bytes that may wait for all clients together; the answer that goes beyond is cut off."""


class ReaderWatch:
    """Watches one connection from when something waits to be read until all was, or writing may go on.

    Args:
        loop: where it counts time.
        transport: the connection.
        others: returns the transports of all connections, to sum up what waits.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        others: Callable[[], Iterable[asyncio.Transport]],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._others = others
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0

    def begin(self) -> None:
        """Watch, where something waits to be read. Nothing more may be written before `end`, or what waits grows."""
        unread = self._transport.get_write_buffer_size()
        if self._timer is not None or not unread:
            return
        if unread > READ_AT_LEAST and sum(one.get_write_buffer_size() for one in self._others()) > MOST_UNREAD:
            self._cut_off()
            return
        self._unread = unread
        self._timer = self._loop.call_later(READ_TIMEOUT, self._look)

    def end(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._transport.get_write_buffer_size()
        if left and self._unread - left < READ_AT_LEAST:
            self._cut_off()
        else:
            self.begin()

    def _cut_off(self) -> None:
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None:
            # Reset it. Otherwise the system would go on offering what it holds, megabytes of it, for minutes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class Watched(asyncio.Protocol):
    """Puts the watch around whatever protocol comes after it in the list of bases, which sets `_reader`."""

    _reader: ReaderWatch

    def pause_writing(self) -> None:
        """Wait for the client, for some time."""
        super().pause_writing()
        self._reader.begin()

    def resume_writing(self) -> None:
        """Go on: it has read most."""
        self._reader.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._reader.end()
        super().connection_lost(exc)
