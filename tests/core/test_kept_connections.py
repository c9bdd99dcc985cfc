"""Requests over connections that are kept: which are used again, and what happens when the server has closed one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import pytest

from stepserve_core import _http, _kept_connections
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from tests.core.colours import COLOURS
from tests.core.local_server import LocalServer, Reply, serving

T = TypeVar("T")
Send = Callable[[str], Coroutine[Any, Any, _http.HTTPResponse]]

CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
CUT_OFF = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok"
INFORMED = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"
SILENCE = b""

pytestmark = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Begin without connections, and without the proxies of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    connections = _kept_connections._Connections()
    monkeypatch.setattr(_kept_connections, "_connections", connections)
    yield
    connections.sync.close()


class RawServer:
    """Sends the same bytes for each request; closes a connection after `most` of them."""

    def __init__(self, answer: bytes, *, most: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._most = most
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.over = threading.Event()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.over.is_set():
                connection.close()
                return
            self.connections += 1
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                for _ in range(self._most):
                    if not connection.recv(65536):
                        break
                    connection.sendall(self._answer)
                if self._answer == SILENCE:
                    self.over.wait(10)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.over.set()
        socket.create_connection(self._listener.getsockname()[:2]).close()
        self._thread.join()
        self._listener.close()


def run(colour: str, scenario: Callable[[Send], Coroutine[Any, Any, T]], timeout: float = 10.0) -> T:
    """Run a scenario in a runtime of the colour."""
    runtime: Runtime = SyncRuntime() if colour == "sync" else AsyncRuntime()

    async def send(url: str) -> _http.HTTPResponse:
        headers = {"x-name": "value"}
        return await _http.send(runtime, "POST", url, headers=headers, body=b"{}", timeout=timeout, repeatable=True)

    return run_sync(scenario(send)) if colour == "sync" else asyncio.run(scenario(send))


def send_once(colour: str, url: str, timeout: float = 10.0) -> _http.HTTPResponse:
    """Send one request."""
    return run(colour, lambda send: send(url), timeout)


def test_a_request_arrives_as_it_was_given(colour: str) -> None:
    with serving(Reply(418, b"teapot")) as server:
        response = send_once(colour, f"{server.origin}/a%20b?c=d")

    (request,) = server.requests
    assert (418, b"teapot") == response
    assert ("POST", "/a%20b?c=d", b"{}") == (request.method, request.path, request.body)
    assert ("value", server.origin[7:]) == (request.headers["x-name"], request.headers["host"])


def test_requests_one_after_the_other_use_one_connection(colour: str) -> None:
    async def scenario(send: Send) -> None:
        for _ in range(3):
            await send(server.origin)

    with serving(Reply()) as server:
        run(colour, scenario)

    assert (3, 1) == (len(server.requests), len(server.connections))


def test_servers_have_connections_of_their_own(colour: str) -> None:
    async def scenario(send: Send) -> list[bytes]:
        return [(await send(server.origin)).body for server in (first, second, first)]

    with serving(Reply(body=b"1")) as first, serving(Reply(body=b"2")) as second:
        bodies = run(colour, scenario)

    assert [b"1", b"2", b"1"] == bodies
    assert (1, 1) == (len(first.connections), len(second.connections))


def test_a_connection_that_was_kept_too_long_is_not_used_again(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kept_connections, "EXPIRY", 0.0)

    async def scenario(send: Send) -> None:
        await send(server.origin)
        await send(server.origin)

    with serving(Reply()) as server:
        run(colour, scenario)

    assert 2 == len(server.connections)


def test_no_more_connections_are_kept_than_allowed(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kept_connections, "MOST_KEPT", 1)

    async def scenario(send: Send) -> None:
        for server in (first, second, first):
            await send(server.origin)

    with serving(Reply()) as first, serving(Reply()) as second:
        run(colour, scenario)

    assert (2, 1) == (len(first.connections), len(second.connections))


@pytest.mark.parametrize("most", [1, 2])
def test_a_kept_connection_that_the_server_has_closed_is_replaced(colour: str, most: int) -> None:
    keeping = CLOSING.replace(b"connection: close\r\n", b"")

    async def scenario(send: Send) -> list[bytes]:
        return [(await send(server.origin)).body for _ in range(4)]

    with RawServer(keeping, most=most) as server:
        bodies = run(colour, scenario)

    assert [b"ok"] * 4 == bodies
    assert 4 // most == server.connections


def test_a_connection_that_the_server_will_close_is_not_kept(colour: str) -> None:
    async def scenario(send: Send) -> list[bytes]:
        return [(await send(server.origin)).body for _ in range(2)]

    with RawServer(CLOSING) as server:
        bodies = run(colour, scenario)

    assert [b"ok", b"ok"] == bodies
    assert 2 == server.connections


@pytest.mark.parametrize(("answer", "expected"), [(CHUNKED, (200, b"abcde")), (INFORMED, (201, b""))])
def test_responses_of_other_forms_are_read(colour: str, answer: bytes, expected: tuple[int, bytes]) -> None:
    with RawServer(answer) as server:
        response = send_once(colour, server.origin)

    assert expected == response


@pytest.mark.parametrize("answer", [CUT_OFF, b"SSH-2.0-OpenSSH\r\n\r\n"], ids=["cut off", "no HTTP"])
def test_what_is_no_response_is_a_failure(colour: str, answer: bytes) -> None:
    with RawServer(answer) as server, pytest.raises(_http.HTTPFailedError, match="RemoteProtocolError"):
        send_once(colour, server.origin)


def test_a_response_that_does_not_come_is_a_failure(colour: str) -> None:
    with RawServer(SILENCE) as server, pytest.raises(_http.HTTPFailedError, match="TimeoutError"):
        send_once(colour, server.origin, timeout=0.05)

    assert 1 == server.connections


def test_a_server_that_is_not_there_is_a_failure(colour: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(_http.HTTPFailedError, match="ConnectionRefusedError"):
        send_once(colour, f"http://127.0.0.1:{port}/")


def test_a_header_that_http_cannot_carry_is_a_failure(colour: str) -> None:
    with serving(Reply()) as server, pytest.raises(_http.HTTPFailedError, match="LocalProtocolError"):
        send_once(colour, f"{server.origin}/a b")

    assert [] == server.requests


def test_https_is_spoken_with_the_certificates_that_httpx_trusts(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without certificates, so that none can expire: TLS 1.2 may agree on keys anonymously."""
    contexts = [ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)]
    for context in contexts:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
    clients = _http._Clients()
    clients._ssl_context = contexts[1]
    monkeypatch.setattr(_http, "_clients", clients)

    async def scenario(send: Send) -> list[bytes]:
        return [(await send(server.origin.replace("http:", "https:"))).body for _ in range(2)]

    with RawServer(CLOSING.replace(b"connection: close\r\n", b""), most=2, tls=contexts[0]) as server:
        bodies = run(colour, scenario)

    assert [b"ok", b"ok"] == bodies
    assert 1 == server.connections


def test_where_a_proxy_is_set_up_it_is_asked(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Reply(body=b"of the proxy")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setattr(_http, "_clients", _http._Clients())
        response = send_once(colour, "http://app.invalid/path")

    assert b"of the proxy" == response.body
    assert ["http://app.invalid/path"] == [request.path for request in proxy.requests]


def test_a_password_in_the_url_is_sent_as_httpx_sends_it(colour: str) -> None:
    with serving(Reply()) as server:
        send_once(colour, server.origin.replace("//", "//user:password@"))

    assert "Basic dXNlcjpwYXNzd29yZA==" == server.requests[0].headers["authorization"]


def test_a_request_that_is_cancelled_leaves_no_connection_to_be_used_again(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `def` function cannot be cancelled, but its thread can be interrupted: by Ctrl-C, for example."""
    arrived, may_answer = threading.Event(), threading.Event()

    def answer(request: object) -> Reply:
        del request
        if not arrived.is_set():
            arrived.set()
            may_answer.wait(10)
        return Reply(body=b"late" if not may_answer.is_set() else b"in time")

    async def interrupted(send: Send, url: str) -> None:
        task = asyncio.ensure_future(send(url))
        while not arrived.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def scenario(send: Send) -> bytes:
        if colour == "sync":
            arrived.set()  # the answer comes at once, and the thread is interrupted when it has read it
            with monkeypatch.context() as patch:
                patch.setattr(_kept_connections._Exchange, "receive", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    await send(server.origin)
        else:
            await interrupted(send, server.origin)
        may_answer.set()
        return (await send(server.origin)).body

    with LocalServer(answer) as server:
        body = run(colour, scenario)

    assert b"in time" == body
    assert 2 == len(server.connections)


def _interrupt(exchange: object, data: bytes) -> bool:
    raise KeyboardInterrupt
