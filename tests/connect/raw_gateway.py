"""A server that does to a worker just what a test tells it, frame by frame."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from stepserve import Inngest
from stepserve_core.connect.messages import (
    SUBPROTOCOL,
    ConnectionReady,
    ExecutorRequest,
    Frame,
    Kind,
    ReplyAck,
    StartResponse,
    WorkerConnect,
    WorkerReply,
    frame,
)
from stepserve_core.connect.schema import Message
from tests.asgi_body import read_body
from tests.executor.raw_app import served

TRACE = b'{"traceparent":"x"}'


def request(request_id: str = "r1", app: str = "app", **changes: Any) -> ExecutorRequest:
    """Return a call of the function `app-f`, the first one of a run."""
    context = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "run_id": "run",
        "stack": {"stack": [], "current": 0},
    }
    event = {"name": "test/x", "data": {}, "id": "e", "ts": 1}
    body = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False}
    fields: dict[str, Any] = {
        "request_id": request_id,
        "account_id": "account",
        "env_id": "env",
        "app_id": "app-id",
        "app_name": app,
        "function_slug": "app-f",
        "step_id": "step",
        "request_payload": json.dumps(body).encode(),
        "system_trace_ctx": TRACE,
        "lease_id": "lease-1",
        "job_id": "job",
        "run_id": "run",
    }
    return ExecutorRequest(**{**fields, **changes})


class Peer:
    """A worker's connection, from the gateway's side."""

    def __init__(self, socket: ServerConnection, gateway: RawGateway) -> None:
        self.socket = socket
        self._gateway = gateway
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.heartbeats = 0
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.hello = WorkerConnect()

    async def send(self, kind: Kind, payload: Message | None = None) -> None:
        """Send a frame."""
        await self.socket.send(frame(kind, payload))

    async def next(self, kind: Kind) -> bytes:
        """Return the payload of the next frame that is no heartbeat; it must be of a kind."""
        received = await asyncio.wait_for(self.frames.get(), 10)

        assert kind == received.kind, Kind(received.kind)
        return received.payload

    async def reply(self) -> WorkerReply:
        """Return the next frame, an answer to a call, and acknowledge it."""
        reply = WorkerReply.decode(await self.next(Kind.WORKER_REPLY))
        await self.send(Kind.WORKER_REPLY_ACK, ReplyAck(reply.request_id))
        return reply

    async def run(self) -> None:
        """Shake hands, then collect what the worker sends; heartbeats are answered."""
        await self.send(Kind.GATEWAY_HELLO)
        self.hello = WorkerConnect.decode(Frame.decode(await self.socket.recv(decode=False)).payload)
        await self.socket.send(self._gateway.welcome)
        self._gateway.peers.put_nowait(self)
        async for message in self.socket:
            received = Frame.decode(message if isinstance(message, bytes) else message.encode())
            if received.kind == Kind.WORKER_HEARTBEAT:
                self.heartbeats += 1
                if self._gateway.is_alive:
                    # A worker that has closed does not wait for it; what it sent before is still to be read.
                    with suppress(ConnectionClosed):
                        await self.send(Kind.GATEWAY_HEARTBEAT)
            else:
                self.frames.put_nowait(received)


@dataclasses.dataclass
class RawGateway:
    """What a test changes, and what it sees. `starts` are the headers of each request to start."""

    peers: asyncio.Queue[Peer] = dataclasses.field(default_factory=asyncio.Queue)
    starts: list[dict[str, str]] = dataclasses.field(default_factory=list)
    flushed: asyncio.Queue[WorkerReply] = dataclasses.field(default_factory=asyncio.Queue)
    start_status: int = 200
    flush_status: int = 200
    keys: tuple[str, ...] = ()
    welcome: bytes = frame(Kind.GATEWAY_CONNECTION_READY, ConnectionReady("10s", "1m0s", "0s"))
    is_alive: bool = True
    endpoint: str = ""
    url: str = ""

    def client(self, app_id: str = "app", **settings: Any) -> Inngest:
        """Return a client of this server."""
        defaults: dict[str, Any] = {"is_production": False, "api_base_url": self.url}
        return Inngest(app_id=app_id, **{**defaults, **settings})

    async def peer(self) -> Peer:
        """Return the next worker's connection that has shaken hands."""
        return await asyncio.wait_for(self.peers.get(), 10)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer HTTP."""
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await read_body(receive)
        if scope["path"] == "/v0/connect/start":
            self.starts.append(headers)
            is_known = not self.keys or headers.get("authorization") in [f"Bearer {key}" for key in self.keys]
            status = self.start_status if is_known else 401
            content = StartResponse(f"connection-{len(self.starts)}", self.endpoint, "group", "token").encode()
        else:
            status, reply = self.flush_status, WorkerReply.decode(body)
            self.flushed.put_nowait(reply)
            content = ReplyAck(reply.request_id).encode()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": content})

    async def serve_socket(self, socket: ServerConnection) -> None:
        """Serve a worker's connection."""
        peer = Peer(socket, self)
        try:
            await peer.run()
        finally:
            await socket.wait_closed()
            peer.closed.set_result((socket.close_code or 0, socket.close_reason or ""))


@asynccontextmanager
async def raw_gateway(**settings: Any) -> AsyncGenerator[RawGateway, None]:
    """Run a server."""
    gateway = RawGateway(**settings)
    async with (
        serve(
            gateway.serve_socket, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None
        ) as server,
        served(gateway) as url,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        gateway.url, gateway.endpoint = url, f"ws://127.0.0.1:{port}/v0/connect"
        yield gateway
