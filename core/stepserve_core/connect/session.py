"""One WebSocket to a gateway: the handshake, and what goes over it until it ends (protocol.md 12.3 to 12.6)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from stepserve_core.connect.calls import Calls
from stepserve_core.connect.messages import (
    SUBPROTOCOL,
    ConnectionReady,
    ExecutorRequest,
    ExtendLeaseAck,
    Frame,
    Kind,
    ReplyAck,
    SyncError,
    WorkerConnect,
    WorkerStatus,
    frame,
)
from stepserve_core.connect.schema import Message, MessageInvalidError
from stepserve_core.connect.timing import Timing, read_interval
from stepserve_core.errors import ConnectError, ConnectRefusedError

_log = logging.getLogger(__name__)

_FRAME_SIZE = 8 * 1024 * 1024
_MOST_MISSED = 2
"""Heartbeats without an answer after which the connection counts as lost."""

DEFAULT_INTERVAL = 10.0
WORKER_SHUTDOWN = "WORKER_SHUTDOWN"


class Session:
    """A connection that is open. `over` is set when it ended, `draining` when the gateway wants us to leave."""

    def __init__(self, socket: ClientConnection, connection_id: str, calls: Calls) -> None:
        self._socket = socket
        self.connection_id = connection_id
        self._calls = calls
        self._unanswered = 0
        self._is_paused = False
        self._sent: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.opened_at = time.monotonic()
        self.over = asyncio.Event()
        self.draining = asyncio.Event()
        self.extend_interval = DEFAULT_INTERVAL

    @classmethod
    async def open(cls, endpoint: str, hello: WorkerConnect, calls: Calls, timing: Timing) -> Session:
        """Connect to a gateway and shake hands.

        Raises:
            ConnectError: it could not be reached, or did not let us in; the message says why.
            ConnectRefusedError: it cannot use our functions.
        """
        try:
            socket = await connect(
                endpoint,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                max_size=_FRAME_SIZE,
                open_timeout=timing.answer,
                close_timeout=timing.answer,
                ping_interval=None,  # the protocol has its own heartbeats
            )
        except (OSError, asyncio.TimeoutError, WebSocketException) as error:
            raise ConnectError(f"the gateway at {endpoint} could not be reached: {_text(error)}") from None
        session = cls(socket, hello.connection_id, calls)
        try:
            await session._shake_hands(hello, timing)
        except BaseException as error:
            await socket.close()
            if isinstance(error, (ConnectionClosed, asyncio.TimeoutError, MessageInvalidError)):
                raise ConnectError(f"the gateway at {endpoint} did not let us in: {_text(error)}") from None
            raise
        return session

    async def _shake_hands(self, hello: WorkerConnect, timing: Timing) -> None:
        await self._expect(Kind.GATEWAY_HELLO, timing.answer)
        await self._send(Kind.WORKER_CONNECT, hello)
        # The gateway registers our functions before it answers.
        ready = ConnectionReady.decode((await self._expect(Kind.GATEWAY_CONNECTION_READY, 3 * timing.answer)).payload)
        heartbeat = timing.heartbeat or read_interval(ready.heartbeat_interval, 0) or DEFAULT_INTERVAL
        self.extend_interval = timing.extend or read_interval(ready.extend_lease_interval, 0) or DEFAULT_INTERVAL
        status = read_interval(ready.status_interval, 0)
        self._start(self._read())
        self._start(self._repeat(self._send_heartbeat, heartbeat))
        self._start(self._repeat(self._extend_leases, self.extend_interval))
        if status:
            self._start(self._repeat(self._send_status, status))

    async def _expect(self, kind: Kind, seconds: float) -> Frame:
        received = await asyncio.wait_for(self._receive(), seconds)
        if received.kind == Kind.SYNC_FAILED:
            problem = SyncError.decode(received.payload)
            raise ConnectRefusedError(f"the server cannot use the functions: {problem.message or problem.code}")
        if received.kind != kind:
            raise ConnectError(f"the gateway sent a frame of kind {received.kind} where {kind.name} was expected")
        return received

    async def _receive(self) -> Frame:
        message = await self._socket.recv()
        if not isinstance(message, bytes):
            raise MessageInvalidError("frames are binary")
        return Frame.decode(message)

    def _start(self, work: Awaitable[None]) -> None:
        async def watched() -> None:
            try:
                await work
            except (ConnectionClosed, MessageInvalidError) as error:
                if not self.over.is_set() and not self._is_paused:
                    _log.warning("the connection to the gateway was lost: %s", _text(error))
            except Exception:
                _log.exception("the connection to the gateway failed inside the worker")
            finally:
                self.over.set()

        self._tasks.append(asyncio.get_running_loop().create_task(watched()))

    async def _repeat(self, action: Callable[[], Awaitable[None]], interval: float) -> None:
        while True:
            await action()
            await asyncio.sleep(interval)

    async def _read(self) -> None:
        while True:
            await self._react(await self._receive())

    async def _react(self, received: Frame) -> None:
        """Do what a frame asks for; kinds that only newer gateways send are ignored."""
        match received.kind:
            case Kind.GATEWAY_EXECUTOR_REQUEST:
                await self._take(ExecutorRequest.decode(received.payload))
            case Kind.WORKER_REPLY_ACK:
                request_id = ReplyAck.decode(received.payload).request_id
                self._sent.discard(request_id)
                self._calls.outbox.remove(request_id)
            case Kind.WORKER_REQUEST_EXTEND_LEASE_ACK:
                self._calls.extended(ExtendLeaseAck.decode(received.payload))
            case Kind.GATEWAY_HEARTBEAT:
                self._unanswered = 0
            case Kind.GATEWAY_CLOSING:
                self.draining.set()
            case _:
                _log.debug("the gateway sent a frame of kind %d", received.kind)

    async def _take(self, request: ExecutorRequest) -> None:
        if self._is_paused:  # others get it, because it is not acknowledged
            return
        ack = self._calls.take(request)
        if ack is not None:
            await self._send(Kind.WORKER_REQUEST_ACK, ack)

    async def _send_heartbeat(self) -> None:
        if self._unanswered >= _MOST_MISSED:
            _log.warning("the gateway does not answer heartbeats; connecting anew")
            self.over.set()
            return
        self._unanswered += 1
        await self._send(Kind.WORKER_HEARTBEAT)

    async def _extend_leases(self) -> None:
        for extension in self._calls.extensions():
            await self._send(Kind.WORKER_REQUEST_EXTEND_LEASE, extension)

    async def _send_status(self) -> None:
        await self._send(Kind.WORKER_STATUS, WorkerStatus(self._calls.ids, self._is_paused))

    async def send_replies(self) -> None:
        """Send the answers that did not go over this connection yet; what gets lost stays in the outbox."""
        try:
            for reply in self._calls.outbox.all():
                if reply.request_id not in self._sent:
                    self._sent.add(reply.request_id)
                    await self._send(Kind.WORKER_REPLY, reply)
        except ConnectionClosed:
            self.over.set()

    async def pause(self) -> None:
        """Ask for no more calls."""
        self._is_paused = True
        try:
            await self._send(Kind.WORKER_PAUSE)
        except ConnectionClosed:
            self.over.set()

    async def close(self, *, is_last: bool = False) -> None:
        """End the connection. Only with the last one the worker gives up calls that it has not answered."""
        self._is_paused = True
        await self._socket.close(reason=WORKER_SHUTDOWN if is_last else "")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, kind: Kind, payload: Message | None = None) -> None:
        await self._socket.send(frame(kind, payload))


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
