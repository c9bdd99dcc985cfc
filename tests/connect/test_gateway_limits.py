"""Strangers at the gateway's port: bounded in number, in time, and in what they make the server keep."""

from __future__ import annotations

import asyncio

import pytest

from stepserve_core.executor import slow_readers
from stepserve_core.executor.connect import sockets
from tests.connect.conftest import Serve
from tests.connect.raw_worker import raw_worker
from tests.slow_client import talk

pytestmark = pytest.mark.anyio

NEVER = 3600.0


async def said(port: int, *pieces: bytes, dribble: bytes = b"") -> bytes:
    """Return what the gateway says; nothing, where it resets the connection."""
    try:
        return await talk(port, *pieces, dribble=dribble)
    except ConnectionResetError:
        return b""


GET = b"GET /v0/connect HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "dribble"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET /v0", b"", id="half a line"),
        pytest.param(GET, b"x-a: b\r\n", id="headers without end"),
        pytest.param(GET + b"content-length: 1000\r\n\r\n", b"x", id="a body"),
        pytest.param(b"POST /v0/connect HTTP/1.1\r\nhost: x\r\n\r\n", b"x", id="another method"),
    ],
)
async def test_a_handshake_that_does_not_come_to_an_end_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes, dribble: bytes
) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE_TIMEOUT", 0.2)
    async with serve() as system:
        answer = await said(system.server.gateway.port, sent, dribble=dribble)

        assert not answer.startswith(b"HTTP/1.1 101")
        async with raw_worker(system.http) as worker:
            event_id = await system.send("test/x")
            await worker.reply(await worker.take(), 1)
            while (outcome := await system.outcome(event_id))[0] == "Running":
                await asyncio.sleep(0.005)
    assert ("Completed", 1) == outcome


async def test_connections_are_counted_and_come_free_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "HANDSHAKE_TIMEOUT", NEVER)
    monkeypatch.setattr(sockets, "most_connections", lambda: 20)
    async with serve() as system:
        port = system.server.gateway.port
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        refused = await said(port)
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        while (await said(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))[9:12] == b"503":
            await asyncio.sleep(0.01)

    assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert refused.endswith(b"\r\n\r\ntoo many connections; try again later")


async def test_a_worker_that_does_not_read_is_cut_off_and_its_calls_go_to_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", 0.3)
    async with serve() as system:
        async with raw_worker(system.http) as deaf:
            deaf.socket.transport.pause_reading()
            ids = [await system.send("test/x", {"text": "x" * 2_900_000, "n": n}) for n in range(3)]
            await system.until_gone()
            deaf.socket.transport.abort()
        async with raw_worker(system.http) as worker:
            for call in [await worker.take() for _ in ids]:
                await worker.reply(call, 1)
            while "Running" in (outcomes := [(await system.outcome(event_id))[0] for event_id in ids]):
                await asyncio.sleep(0.005)

    assert ["Completed"] * 3 == outcomes
