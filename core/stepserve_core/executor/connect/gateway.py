"""The gateway: the WebSocket that workers hold open (executor.md 9.3 and 9.4).

A connection that breaks the protocol is closed with the reason; it costs no other one anything.
"""

from __future__ import annotations

import asyncio
import http
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from stepserve_core.connect.messages import (
    SUBPROTOCOL,
    ConnectionReady,
    ExtendLease,
    Frame,
    Kind,
    ReplyAck,
    RequestAck,
    SyncError,
    WorkerConnect,
    WorkerReply,
    frame,
)
from stepserve_core.connect.schema import MessageInvalidError
from stepserve_core.executor import ids, limits
from stepserve_core.executor.connect import sockets
from stepserve_core.executor.connect.handshake import Refusal, Session, check_apps, read_apps, registration
from stepserve_core.executor.connect.workers import Connection, Workers
from stepserve_core.executor.functions import RegistrationInvalidError
from stepserve_core.executor.json_web_token import TokenInvalidError, read_claims, sign_claims
from stepserve_core.executor.register import Registered
from stepserve_core.executor.transport import within

_log = logging.getLogger(__name__)

PATH = "/v0/connect"
_FRAME_SIZE = limits.ANSWER_BODY + limits.MEBIBYTE // 16
_MOST_STRANGERS = 100
"""Connections at once that have not said yet who they are."""

POLICY, GOING_AWAY, INTERNAL, TRY_LATER = 1008, 1001, 1011, 1013
WORKER_SHUTDOWN = "WORKER_SHUTDOWN"
CLOSING = "connect_gateway_closing"


class Gateway:
    """Serves workers at one listening socket.

    Args:
        workers: where connections are known.
        register: takes in what an app registers.
    """

    def __init__(self, workers: Workers, register: Callable[[bytes], Awaitable[Registered]]) -> None:
        self._workers = workers
        self._register = register
        self._secret = secrets.token_bytes(32)  # tokens live shorter than any process should
        self._strangers = 0
        self._is_draining = False
        self._server: Server | None = None
        self.port = 0

    async def start(self, listener: socket.socket) -> None:
        """Serve at a listening socket."""
        self.port = listener.getsockname()[1]
        self._server = await serve(
            self._serve,
            sock=listener,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            process_request=_refuse_other_paths,
            compression=None,
            max_size=_FRAME_SIZE,
            ping_interval=None,  # the protocol has its own heartbeats
            server_header=None,
            open_timeout=sockets.HANDSHAKE_TIMEOUT,
            create_connection=sockets.bounded_connections(),
            logger=_QUIET,
        )

    async def drain(self) -> None:
        """Ask workers to connect elsewhere; answers to their calls are taken all the same."""
        self._is_draining = True
        for connection in self._workers.all():
            self._workers.drain(connection)
            await _tell(connection, frame(Kind.GATEWAY_CLOSING))

    async def close(self) -> None:
        """Close all connections and the listener."""
        if self._server is not None:
            for one in list(self._server.connections):
                await one.close(GOING_AWAY, CLOSING)
            self._server.close()
            await self._server.wait_closed()

    def invite(self) -> tuple[str, str]:
        """Return the id of a connection to come, and the token that lets it in."""
        now = self._workers.clock.now()
        connection_id = ids.new_id(now)
        return connection_id, sign_claims(self._secret, Session.begin(connection_id, now))

    async def _serve(self, socket: ServerConnection) -> None:
        if self._strangers >= _MOST_STRANGERS or self._is_draining:
            await socket.close(TRY_LATER, CLOSING if self._is_draining else "connect_too_many_connections")
            return
        try:
            await self._keep(socket, await self._let_in(socket))
        except Refusal as refusal:
            _log.warning("refused a worker: %s", refusal.message)
            await socket.close(refusal.status, refusal.code)
        except ConnectionClosed:
            return  # it went away before it said who it is
        except Exception:
            _log.exception("a worker's connection failed inside the executor")
            await socket.close(INTERNAL, "connect_internal_error")

    async def _let_in(self, socket: ServerConnection) -> Connection:
        """Shake hands, and register what the worker runs."""
        self._strangers += 1
        try:
            hello = await within(self._workers.intervals.hello, self._ask_who(socket))
        except asyncio.TimeoutError:
            raise Refusal("connect_worker_hello_timeout", "it did not say in time who it is") from None
        finally:
            self._strangers -= 1
        self._authenticate(hello)
        apps = check_apps(hello)
        try:
            for app in apps:
                await self._register(registration(app, hello))
        except RegistrationInvalidError as error:
            message = "; ".join([str(error), *error.problems])
            problem = SyncError("connect_invalid_function_config", None, message)
            await socket.send(frame(Kind.SYNC_FAILED, problem))
            raise Refusal(problem.code, message) from None
        return self._connect(socket, hello)

    async def _ask_who(self, socket: ServerConnection) -> WorkerConnect:
        await socket.send(frame(Kind.GATEWAY_HELLO))
        message = await socket.recv()
        try:
            first = Frame.decode(message) if isinstance(message, bytes) else None
            if first is None or first.kind != Kind.WORKER_CONNECT:
                raise Refusal("connect_worker_hello_invalid_msg", "its first message is not WORKER_CONNECT")
            return WorkerConnect.decode(first.payload)
        except MessageInvalidError as error:
            raise Refusal("connect_worker_hello_invalid_payload", str(error)) from None

    def _authenticate(self, hello: WorkerConnect) -> None:
        try:
            session = read_claims(self._secret, hello.auth_data.session_token, Session)
            session.check(hello.connection_id, self._workers.clock.now())
        except TokenInvalidError as error:
            raise Refusal("connect_authentication_failed", str(error)) from None
        if self._workers.is_connected(hello.connection_id):
            raise Refusal("connect_authentication_failed", "its token is used already")

    def _connect(self, socket: ServerConnection, hello: WorkerConnect) -> Connection:
        async def send(content: bytes) -> None:
            try:
                await socket.send(content)
            except ConnectionClosed as error:
                raise ConnectionResetError(str(error)) from None

        connection = Connection(
            hello.connection_id,
            hello.instance_id,
            read_apps(hello),
            send,
            max_concurrency=hello.max_worker_concurrency,
            sdk=(hello.sdk_language, hello.sdk_version),
            system=hello.system_attributes,
            address=str(socket.remote_address[0]) if socket.remote_address else "",
            now=self._workers.clock.now(),
        )
        self._workers.add(connection)
        connection.is_ready_at_once = not hello.worker_manual_readiness_ack
        return connection

    async def _keep(self, socket: ServerConnection, connection: Connection) -> None:
        """Talk with a worker until it goes away."""
        names = ", ".join(sorted(connection.app_names))
        _log.info("worker %s is connected and runs %s", connection.instance_id, names)
        is_clean = False
        try:
            await self._greet(connection)
            await self._listen(socket, connection)
        except ConnectionClosedOK as closed:
            is_clean = closed.rcvd is not None and closed.rcvd.reason == WORKER_SHUTDOWN
        except ConnectionClosed:
            pass  # lost: its calls stay its own until their leases end
        except Refusal as refusal:
            _log.warning("worker %s is cut off: %s", connection.instance_id, refusal.message)
            await socket.close(refusal.status, refusal.code)
        finally:
            self._workers.remove(connection, is_clean=is_clean)
            _log.info("worker %s is gone", connection.instance_id)

    async def _greet(self, connection: Connection) -> None:
        intervals = self._workers.intervals
        ready = ConnectionReady(f"{intervals.heartbeat:g}s", f"{intervals.extend:g}s", "0s")
        await connection.send(frame(Kind.GATEWAY_CONNECTION_READY, ready))
        if connection.is_ready_at_once:
            self._workers.make_ready(connection)

    async def _listen(self, socket: ServerConnection, connection: Connection) -> None:
        silence = 5 * self._workers.intervals.heartbeat
        while True:
            try:
                message = await within(silence, socket.recv())
            except asyncio.TimeoutError:
                raise Refusal("connect_heartbeats_missed", f"nothing was heard of it for {silence:g} s") from None
            self._workers.hear(connection)
            try:
                if not isinstance(message, bytes):
                    raise MessageInvalidError("frames are binary")
                await self._react(connection, Frame.decode(message))
            except MessageInvalidError as error:
                raise Refusal("connect_run_invalid_message", str(error)) from None

    async def _react(self, connection: Connection, received: Frame) -> None:
        """Do what a frame asks for; kinds that only newer workers send are ignored."""
        match received.kind:
            case Kind.WORKER_HEARTBEAT:
                await _tell(connection, frame(Kind.GATEWAY_HEARTBEAT))
            case Kind.WORKER_READY:
                self._workers.make_ready(connection)
            case Kind.WORKER_REQUEST_ACK:
                self._workers.ack(connection, RequestAck.decode(received.payload).request_id)
            case Kind.WORKER_REQUEST_EXTEND_LEASE:
                answer = self._workers.extend(connection, ExtendLease.decode(received.payload))
                await _tell(connection, frame(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answer))
            case Kind.WORKER_REPLY:
                reply = WorkerReply.decode(received.payload)
                self._workers.answer(reply)
                await _tell(connection, frame(Kind.WORKER_REPLY_ACK, ReplyAck(reply.request_id)))
            case Kind.WORKER_PAUSE:
                self._workers.drain(connection)
            case _:
                _log.debug("worker %s sent a frame of kind %d", connection.instance_id, received.kind)


async def _tell(connection: Connection, content: bytes) -> None:
    """Send something to a worker that may be gone; who reads from it notices that."""
    try:
        await connection.send(content)
    except ConnectionError:
        _log.debug("worker %s went away while it was told something", connection.instance_id)


def _refuse_other_paths(socket: ServerConnection, request: Request) -> Response | None:
    if request.path.partition("?")[0] == PATH:
        return None
    return socket.respond(http.HTTPStatus.NOT_FOUND, "Workers connect at /v0/connect\n")


_QUIET = logging.getLogger(f"{__name__}.socket")
_QUIET.setLevel(logging.CRITICAL)  # broken handshakes of strangers are no news
