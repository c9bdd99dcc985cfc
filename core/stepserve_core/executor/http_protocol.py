"""Connections of the API, bounded: how many there are, how large headers are, how long a request may take to arrive,
and its answer to be read.

Clients that send a byte now and then would otherwise hold connections, and the memory behind them, for as long as they
like.
"""

from __future__ import annotations

import asyncio
import contextlib

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from stepserve_core.executor.slow_readers import ReaderWatch, Watched

HEADERS_TIMEOUT = 10.0
"""Seconds from the connection, or from the first byte of a later request, to the end of its headers."""

BODY_TIMEOUT = 60.0
"""Seconds for a body."""

STREAM_TIMEOUT = 15 * 60.0
"""Seconds for a body of the type text/stream or text/event-stream: it comes as it is made (executor.md 10.4)."""

_STREAMS = (b"text/stream", b"text/event-stream")

KEEP_ALIVE = 75
"""Seconds that a connection may wait for its next request. Far more than clients keep unused ones (httpx 5 s, aiohttp
15 s, Node 5 s): where both give up at the same moment, a request meets a connection that is just being closed."""

LINGER = 1.0
"""Seconds that a refused connection stays open for reading, so that the answer arrives."""

MOST_HEADER_BYTES = 64 * 1024
MOST_CONNECTIONS = 1000


def most_connections() -> int:
    """Return how many connections are served at once: half of the files that the process may open, at most 1,000."""
    with contextlib.suppress(ImportError):
        import resource  # noqa: PLC0415 - not on Windows

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft > 0:
            return min(MOST_CONNECTIONS, max(soft // 2, 16))
    return MOST_CONNECTIONS


class BoundedProtocol(Watched, HttpToolsProtocol):
    """uvicorn's protocol, with these bounds."""

    _timer: asyncio.TimerHandle | None = None
    _in_headers = True
    _header_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn types it
        """Begin a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        self._reader = ReaderWatch(self.loop, transport, lambda: [one.transport for one in self.connections])
        if len(self.connections) > most_connections() and not self._make_room():
            self._refuse(b"503 Service Unavailable", b"too many connections; try again later")
            return
        self._limit(HEADERS_TIMEOUT)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for another request; return False where none waits."""
        waiting = {
            task.when(): one.transport
            for one in self.connections
            if isinstance(one, BoundedProtocol)  # and no WebSocket
            and (task := one.timeout_keep_alive_task) is not None
            and not one.transport.is_closing()
            and not one.transport.get_write_buffer_size()  # or it would stay until its client has read
        }
        if waiting:
            waiting[min(waiting)].close()
        return bool(waiting)

    def data_received(self, data: bytes) -> None:
        """Take in what arrived."""
        if self._refused:
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._timer is None:
                self._limit(HEADERS_TIMEOUT)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", b"the headers are larger than 64 KiB")

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_headers = False
        self._reader.end()  # until this request is answered, which may add to what waits
        streams = any(name == b"content-type" and value.startswith(_STREAMS) for name, value in self.headers)
        self._limit(STREAM_TIMEOUT if streams else BODY_TIMEOUT)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request; between two of them uvicorn's own limit holds."""
        self._limit(None)
        self._in_headers, self._header_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Let the client read what is left."""
        super().on_response_complete()
        self._reader.begin()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over."""
        self._limit(None)
        self._reader.end()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._limit(None)
        super().connection_lost(exc)

    def _limit(self, seconds: float | None) -> None:
        """Start to count anew; None stops."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._refuse(b"408 Request Timeout", b"the request did not arrive in time")

    def _refuse(self, status: bytes, message: bytes) -> None:
        """Close the connection, with an answer where none has begun."""
        self._limit(None)
        if self.transport.is_closing() or self._refused:
            return
        self._refused = True
        if self._may_answer():
            head = b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            self.transport.write(head % (status, len(message), message))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        # Who still sends would lose the answer if the connection was closed at once.
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER, self.transport.close)

    def _may_answer(self) -> bool:
        if self.cycle is None:
            return True
        return self.cycle.response_complete if self._in_headers else not self.cycle.response_started


class BoundedWebSocket(Watched, WSProtocol):
    """uvicorn's WebSocket, whose client has to read too."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn types it
        """Begin."""
        super().connection_made(transport)
        self._reader = ReaderWatch(self.loop, transport, lambda: [one.transport for one in self.connections])
