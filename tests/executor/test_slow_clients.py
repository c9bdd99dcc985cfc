"""Clients that send slowly, or too much, or too many of them: bounded, and the server answers the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest

from stepserve_core.executor import http_protocol
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.slow_client import talk

pytestmark = pytest.mark.anyio

EVENT = b'{"name": "test/x"}'
POST = b"POST /e/key HTTP/1.1\r\nhost: x\r\n"
NEVER = 3600.0


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[RunningServer, None]:
    """A server whose patience with requests is short."""
    monkeypatch.setattr(http_protocol, "HEADERS_TIMEOUT", 0.2)
    monkeypatch.setattr(http_protocol, "BODY_TIMEOUT", 0.2)
    monkeypatch.setattr(http_protocol, "LINGER", 0.1)
    async with serving(ServerConfig(port=0)) as running:
        yield running


async def still_answers(server: RunningServer) -> bool:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return (await http.post("/e/key", content=EVENT)).status_code == 200


@pytest.mark.parametrize(
    ("sent", "dribble"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"POST /e/k", b"", id="half a line"),
        pytest.param(POST, b"x-a: b\r\n", id="headers without end"),
        pytest.param(POST + b"content-length: 1000\r\n\r\n{", b" ", id="a body without end"),
        pytest.param(POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="chunks without end"),
    ],
)
async def test_a_request_that_does_not_arrive_in_time_is_ended(
    server: RunningServer, sent: bytes, dribble: bytes
) -> None:
    answer = await talk(server.port, sent, dribble=dribble)

    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b"the request did not arrive in time")
    assert await still_answers(server)


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(server: RunningServer) -> None:
    answer = await talk(server.port, b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n", dribble=b" ")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert 1 == answer.count(b"HTTP/1.1")


async def test_a_second_request_has_the_same_time_as_the_first(server: RunningServer) -> None:
    first = POST + b"content-length: %d\r\n\r\n%s" % (len(EVENT), EVENT)
    answer = await talk(server.port, first, POST, dribble=b"x-a: b\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 408 Request Timeout\r\n" in answer


async def test_headers_without_end_are_cut_off_by_size_too(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEADERS_TIMEOUT", NEVER)
    answer = await talk(server.port, POST, *[b"x-a: " + b"b" * 1000 + b"\r\n"] * 70)

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert await still_answers(server)


async def test_a_stream_may_take_its_time(server: RunningServer) -> None:
    head = b"POST /v1/realtime/publish?channel=c&topic=t HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + b"content-type: text/stream\r\ncontent-length: 60\r\n\r\n")
    for _ in range(60):  # three times as long as other bodies may take
        await asyncio.sleep(0.01)
        writer.write(b"x")
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_connections_are_counted_and_come_free_again(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEADERS_TIMEOUT", NEVER)
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 20)
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
    refused = await talk(server.port)
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    while not await answers_again(server):
        await asyncio.sleep(0.01)

    assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert refused.endswith(b"too many connections; try again later")


async def answers_again(server: RunningServer) -> bool:
    try:
        return await still_answers(server)
    except httpx.TransportError:
        return False
