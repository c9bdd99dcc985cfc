"""Requests over connections that are kept: which are used again, and what happens when the server has closed one."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, TypeVar

import pytest
from typing_extensions import Self

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
UNASKED = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"

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
    connections.close()


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
            # A client that closes a connection before it has read everything resets it.
            with connection, contextlib.suppress(ConnectionError):
                for _ in range(self._most):
                    if not _read_request(connection):
                        break
                    self._send(connection)
                if self._answer == SILENCE:
                    self.over.wait(10)

    def _send(self, connection: socket.socket) -> None:
        connection.sendall(self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.over.set()
        socket.create_connection(self._listener.getsockname()[:2]).close()
        self._thread.join()
        self._listener.close()


def _read_request(connection: socket.socket) -> bool:
    """Read a request, which ends with the body that all have here; return False at the end of the connection."""
    received = b""
    while not received.endswith(b"{}"):
        data = connection.recv(65536)
        if not data:
            return False
        received += data
    return True


class DrippingServer(RawServer):
    """Sends a byte of a head that never ends, and another one, and another one."""

    def _send(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self.over.wait(0.01):
                connection.sendall(b"H")


class ChattyServer(RawServer):
    """Says something unasked over each connection, and does not close it."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answered, self.unasked = threading.Event(), threading.Event()
        self._open: list[socket.socket] = []

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        for connection in self._open:
            connection.close()

    def _send(self, connection: socket.socket) -> None:
        self._open.append(connection.dup())
        connection.sendall(self._answer)
        self.answered.wait(10)
        connection.sendall(UNASKED)
        self.unasked.set()


def run(
    colour: str,
    scenario: Callable[[Send], Coroutine[Any, Any, T]],
    timeout: float = 10.0,
    headers: Mapping[str, str] = {"x-name": "value"},
) -> T:
    """Run a scenario in a runtime of the colour."""
    runtime: Runtime = SyncRuntime() if colour == "sync" else AsyncRuntime()

    async def send(url: str) -> _http.HTTPResponse:
        return await _http.send(runtime, "POST", url, headers=headers, body=b"{}", timeout=timeout, repeatable=True)

    return run_sync(scenario(send)) if colour == "sync" else asyncio.run(scenario(send))


def send_once(colour: str, url: str, **options: Any) -> _http.HTTPResponse:
    """Send one request."""
    return run(colour, lambda send: send(url), **options)


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


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (CUT_OFF, "IncompleteRead"),
        (CHUNKED[:-9], "IncompleteRead"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", "HTTPException"),
    ],
    ids=["cut off", "cut off chunks", "no HTTP", "too many headers"],
)
def test_what_is_no_response_is_a_failure(colour: str, answer: bytes, error: str) -> None:
    with RawServer(answer) as server, pytest.raises(_http.HTTPFailedError, match=error):
        send_once(colour, server.origin)


def test_an_answer_to_a_request_that_was_never_made_is_not_taken_for_one(colour: str) -> None:
    """A proxy may say 408 over a connection that nobody used for a while, before it closes it."""

    async def scenario(send: Send) -> list[bytes]:
        first = await send(server.origin)
        server.answered.set()
        server.unasked.wait(10)
        return [first.body, (await send(server.origin)).body]

    with ChattyServer(CLOSING.replace(b"connection: close\r\n", b"")) as server:
        bodies = run(colour, scenario)

    assert [b"ok", b"ok"] == bodies


def test_a_response_that_comes_byte_by_byte_is_given_up_when_its_time_is_over(colour: str) -> None:
    with DrippingServer(CLOSING) as server, pytest.raises(_http.HTTPFailedError, match="TimeoutError"):
        send_once(colour, server.origin, timeout=0.1)

    assert 1 == server.connections


def test_a_response_that_does_not_come_is_a_failure(colour: str) -> None:
    with RawServer(SILENCE) as server, pytest.raises(_http.HTTPFailedError, match="TimeoutError"):
        send_once(colour, server.origin, timeout=0.05)

    assert 1 == server.connections


def test_a_server_that_is_not_there_is_a_failure(colour: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(_http.HTTPFailedError, match="ConnectionRefusedError"):
        send_once(colour, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [("/a b", {}, "InvalidURL"), ("/", {"x": "a\nb"}, "ValueError"), ("/", {"x": "\u4e2d"}, "UnicodeEncodeError")],
)
def test_what_http_cannot_carry_is_a_failure(colour: str, path: str, headers: dict[str, str], error: str) -> None:
    with serving(Reply()) as server, pytest.raises(_http.HTTPFailedError, match=error):
        send_once(colour, f"{server.origin}{path}", headers=headers)

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


def test_a_request_that_is_cancelled_goes_on_in_its_thread_and_its_answer_is_nobody_elses(colour: str) -> None:
    """A `def` function cannot be cancelled, but its thread can be interrupted: by Ctrl-C, for example."""
    arrived, may_answer = threading.Event(), threading.Event()

    def answer(request: object) -> Reply:
        del request
        if arrived.is_set():
            return Reply(body=b"of the second")
        arrived.set()
        may_answer.wait(10)
        return Reply(body=b"of the first")

    async def scenario(send: Send) -> bytes:
        task = asyncio.ensure_future(send(server.origin))
        while not arrived.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()

        may_answer.set()
        return (await send(server.origin)).body

    async def interrupted(send: Send) -> bytes:
        may_answer.set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http.client.HTTPResponse, "read", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                await send(server.origin)
        return (await send(server.origin)).body

    with LocalServer(answer) as server:
        body = run(colour, interrupted if colour == "sync" else scenario)

    assert b"of the second" == body


def _interrupt(response: object) -> bytes:
    raise KeyboardInterrupt
