"""Connections without a request: the server outlasts its clients, and gives up its own to apps before these do."""

from __future__ import annotations

import asyncio

import gunicorn.config
import httpx
import pytest
import uvicorn

from stepserve_core.executor import http_protocol, limits
from stepserve_core.executor.http_transport import HttpTransport
from stepserve_core.executor.server import ServerConfig, serving

pytestmark = pytest.mark.anyio

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
REQUEST = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
CLIENTS: dict[str, float] = {
    "httpx": httpx.Limits().keepalive_expiry or 0.0,
    "aiohttp": 15.0,
    "Node": 5.0,
}
SERVERS: dict[str, float] = {
    "uvicorn": uvicorn.Config("app").timeout_keep_alive,
    "gunicorn": gunicorn.config.Keepalive.default,
}


async def ask(connection: Pair) -> bytes:
    """Send a request over a connection that stays open, and return the status of the answer; b"" if it was closed."""
    reader, writer = connection
    writer.write(REQUEST)
    status = await reader.readline()
    if status:
        headers = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(headers.partition(b"content-length: ")[2].split()[0]))
    return status.strip()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_gives_up_an_unused_connection_before_the_server_does(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both do at the same moment, as with httpx and uvicorn's own limit, requests fail now and then."""
    async with serving(ServerConfig(port=0)) as server:
        connection = await asyncio.open_connection("127.0.0.1", server.port)
        first = await ask(connection)
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + 2 * CLIENTS[client])
        await asyncio.sleep(0)  # a round of the loop, in which it looks what is due
        await asyncio.sleep(0)
        second = await ask(connection)
        connection[1].close()

    assert [b"HTTP/1.1 200 OK"] * 2 == [first, second]


@pytest.mark.parametrize("server", SERVERS)
def test_the_executor_gives_up_an_unused_connection_before_the_server_of_an_app_does(server: str) -> None:
    assert limits.UNUSED_CONNECTION <= SERVERS[server] / 2


@pytest.mark.parametrize(("unused", "connections"), [(0.0, 2), (60.0, 1)])
async def test_a_call_takes_a_kept_connection_for_so_long_only(
    unused: float, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNUSED_CONNECTION", unused)
    seen: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as app:
        port = app.sockets[0].getsockname()[1]
        transport = HttpTransport()
        for _ in range(2):
            await transport.send("PUT", f"http://127.0.0.1:{port}/", {}, b"", 10)
        await transport.close()

    assert connections == len(seen)


async def test_a_new_connection_takes_the_place_of_the_one_that_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 5)
    async with serving(ServerConfig(port=0)) as server:
        kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        for connection in kept[::-1]:
            await ask(connection)
        newest = await asyncio.open_connection("127.0.0.1", server.port)
        answers = [await ask(connection) for connection in (newest, *kept)]
        for _, writer in (newest, *kept):
            writer.close()

    assert [b"HTTP/1.1 200 OK"] * 5 + [b""] == answers
