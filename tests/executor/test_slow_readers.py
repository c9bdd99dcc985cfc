"""Clients that do not read their answers: they are cut off, and who reads slowly gets all."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncGenerator

import httpx
import pytest

from stepserve_core.executor import http_protocol, slow_readers
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.slow_client import talk

pytestmark = pytest.mark.anyio

SIZE = 2_900_000
EVENTS = 3
"""Together more than what sockets hold, so that much of the answer waits in the server."""
NEVER = 3600.0


@pytest.fixture
async def server() -> AsyncGenerator[RunningServer, None]:
    """A server with a list that takes long to read."""
    async with serving(ServerConfig(port=0)) as running:
        async with httpx.AsyncClient(base_url=running.url) as http:
            for _ in range(EVENTS):
                await http.post("/e/key", json={"name": "test/x", "data": {"text": "x" * SIZE}})
        yield running


def ask(server: RunningServer, room: int = 4096, path: bytes = b"/v1/events", more: bytes = b"") -> socket.socket:
    """Ask for the list, or something else, without reading it; the system takes in only `room` bytes or so."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    client.connect(("127.0.0.1", server.port))
    client.sendall(b"GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\n%s\r\n" % (path, more))
    return client


async def cut_off(client: socket.socket) -> bool:
    """Wait until the server has cut the connection off."""
    poll = select.poll()
    poll.register(client, 0)  # errors are always told
    return bool(await asyncio.to_thread(poll.poll, 20_000))


async def is_empty(client: socket.socket) -> bool:
    """Wait until something of the answer has come; say whether nothing has."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    return not await asyncio.to_thread(poll.poll, 20_000)


async def still_answers(server: RunningServer) -> bool:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        return len((await http.get("/v1/events")).content) > EVENTS * SIZE


async def test_who_reads_nothing_is_cut_off(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", 0.2)
    with ask(server) as client:
        assert await cut_off(client)
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", NEVER)

    assert await still_answers(server)


async def test_who_reads_a_byte_now_and_then_is_cut_off(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", 0.3)
    with ask(server) as client:
        client.setblocking(False)
        cut = asyncio.ensure_future(cut_off(client))
        loop = asyncio.get_running_loop()
        while not cut.done():
            await asyncio.sleep(0.01)
            try:
                assert await loop.sock_recv(client, 1)
            except ConnectionResetError:
                break

        assert await cut


async def test_what_waits_for_all_clients_together_is_bounded(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", NEVER)
    monkeypatch.setattr(slow_readers, "MOST_UNREAD", EVENTS * SIZE)
    with ask(server) as first:
        assert not await is_empty(first)
        with ask(server) as second:
            assert await cut_off(second)
        assert await read_all(first) > EVENTS * SIZE


async def test_who_reads_slowly_gets_all(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(slow_readers, "READ_AT_LEAST", 16 * 1024)
    with ask(server, room=64 * 1024) as client:
        assert await read_all(client, pause=0.02) > EVENTS * SIZE


async def test_a_subscriber_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_readers, "READ_TIMEOUT", 0.2)
    async with serving(ServerConfig(port=0)) as server, httpx.AsyncClient(base_url=server.url) as http:
        topics = [{"channel": "c", "name": "t", "kind": "run"}]
        token = (await http.post("/v1/realtime/token", json=topics)).json()["jwt"]
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        key = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        path = b"/v1/realtime/connect?token=" + token.encode()
        with ask(server, path=path, more=upgrade + key) as client:
            assert not await is_empty(client)
            cut = asyncio.ensure_future(cut_off(client))
            while not cut.done():
                await http.post("/v1/realtime/publish?channel=c&topic=t", json="x" * 500_000)

            assert await cut
        assert [] == list(server.executor.realtime.subscribers)


async def read_all(client: socket.socket, pause: float = 0.0) -> int:
    """Read the whole answer, with a pause after each piece; return how long it was."""
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    head, total, length = b"", 0, None
    while length is None or total < length:
        piece = await loop.sock_recv(client, 256 * 1024)
        total += len(piece)
        if length is None:
            head += piece
            names, end, _ = head.partition(b"\r\n\r\n")
            if end:
                (size,) = (line for line in names.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                length = len(names) + 4 + int(size.partition(b":")[2])
        await asyncio.sleep(pause)
    return total


async def test_who_reads_nothing_makes_no_room_for_others(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed to make room, it would stay until it has read: connections would grow beyond their number."""
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 1)
    with ask(server) as client:
        assert not await is_empty(client)
        answer = await talk(server.port)

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
