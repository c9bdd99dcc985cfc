"""A worker that does just what a test tells it, frame by frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from stepserve_core.connect.messages import (
    SUBPROTOCOL,
    AppConfiguration,
    AuthData,
    ExecutorRequest,
    ExtendLease,
    Frame,
    Kind,
    RequestAck,
    StartResponse,
    Status,
    WorkerConnect,
    WorkerReply,
    frame,
)
from stepserve_core.connect.schema import Message


def function(slug: str = "app-f", **options: Any) -> dict[str, Any]:
    """Return the configuration of a function that `test/x` starts."""
    runtime = {"type": "ws", "url": f"wss://connect?fnId={slug}&stepId=step"}
    step = {"id": "step", "name": "step", "runtime": runtime}
    return {"id": slug, "name": slug, "triggers": [{"event": "test/x"}], "steps": {"step": step}, **options}


async def ask_for_gateway(http: httpx.AsyncClient) -> StartResponse:
    """Ask a server where to connect."""
    answer = await http.post("/v0/connect/start")

    assert 200 == answer.status_code, answer.text
    return StartResponse.decode(answer.content)


def hello(started: StartResponse, *functions: dict[str, Any], app: str = "app", **changes: Any) -> WorkerConnect:
    """Return what a worker says of itself."""
    fields: dict[str, Any] = {
        "connection_id": started.connection_id,
        "instance_id": "raw",
        "auth_data": AuthData(started.session_token),
        "apps": [AppConfiguration(app, None, json.dumps(functions or [function()]).encode())],
        "framework": "connect",
        "sdk_version": "1",
        "sdk_language": "raw",
    }
    return WorkerConnect(**{**fields, **changes})


class RawWorker:
    """A connection after its handshake, or before it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, kind: Kind, payload: Message | None = None) -> None:
        """Send a frame."""
        await self.socket.send(frame(kind, payload))

    async def receive(self, kind: Kind) -> bytes:
        """Return the payload of the next frame, which must be of a kind."""
        received = Frame.decode(await asyncio.wait_for(self.socket.recv(decode=False), 10))

        assert kind == received.kind, Kind(received.kind)
        return received.payload

    async def take(self) -> ExecutorRequest:
        """Receive a call and acknowledge it."""
        call = ExecutorRequest.decode(await self.receive(Kind.GATEWAY_EXECUTOR_REQUEST))
        await self.send(Kind.WORKER_REQUEST_ACK, RequestAck(call.request_id))
        return call

    async def extend(self, call: ExecutorRequest) -> None:
        """Ask for a longer lease."""
        await self.send(Kind.WORKER_REQUEST_EXTEND_LEASE, ExtendLease(call.request_id, lease_id=call.lease_id))

    async def reply(self, call: ExecutorRequest, output: object) -> None:
        """Answer a call with a result."""
        await self.send(Kind.WORKER_REPLY, done(call, output))
        await self.receive(Kind.WORKER_REPLY_ACK)

    async def closing(self) -> tuple[int, str]:
        """Wait until the server closes the connection; return code and reason."""
        with suppress(ConnectionClosed):
            while True:
                await asyncio.wait_for(self.socket.recv(), 10)
        await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""


def done(call: ExecutorRequest, output: object) -> WorkerReply:
    """Return the answer with a result."""
    return WorkerReply(
        call.request_id,
        status=Status.DONE,
        body=json.dumps(output).encode(),
        sdk_version="raw:v1",
        request_version=2,
    )


@asynccontextmanager
async def stranger(http: httpx.AsyncClient) -> AsyncGenerator[tuple[RawWorker, StartResponse], None]:
    """Open a WebSocket to the gateway and say nothing."""
    started = await ask_for_gateway(http)
    socket = await connect(
        started.gateway_endpoint, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None, ping_interval=None
    )
    try:
        worker = RawWorker(socket)
        await worker.receive(Kind.GATEWAY_HELLO)
        yield worker, started
    finally:
        if socket.transport.is_closing():  # the server closed it, perhaps while we still sent
            await socket.wait_closed()
        else:
            await socket.close()


@asynccontextmanager
async def raw_worker(
    http: httpx.AsyncClient, *functions: dict[str, Any], **changes: Any
) -> AsyncGenerator[RawWorker, None]:
    """Run a worker that has shaken hands."""
    async with stranger(http) as (worker, started):
        await worker.send(Kind.WORKER_CONNECT, hello(started, *functions, **changes))
        await worker.receive(Kind.GATEWAY_CONNECTION_READY)
        yield worker
