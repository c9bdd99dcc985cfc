"""What is special to `http.server`: other paths, versions of HTTP, bodies that it leaves to us."""

from __future__ import annotations

import http.client
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

import stepserve.http_server
from stepserve import Inngest, Middleware, Streaming
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, SIGNATURE, App, call_body, sign
from tests.adapters.answering import answering
from tests.frameworks.http_server import serve

BODY = call_body()


class Quiet(BaseHTTPRequestHandler):
    """An app that says what it has at one path."""

    def do_GET(self) -> None:
        if self.path != "/own":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"open")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Keep quiet."""


class QuietHTTP11(Quiet):
    protocol_version = "HTTP/1.1"


def _signed_call() -> bytes:
    """Return the beginning of a call that is signed now."""
    query = "?fnId=shop-answer&stepId=step"
    return f"POST {PATH}{query} HTTP/1.1\r\nhost: localhost\r\n{SIGNATURE}: {sign(BODY)}\r\n".encode()


def _exchange(port: int, request: bytes) -> bytes:
    """Send bytes, say that no more will come, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/own", 200),
        ("GET", "/other", 404),
        ("GET", PATH + "/below", 404),
        ("HEAD", "/own", 404),
        ("POST", "/own", 501),
        ("DELETE", "/own", 501),
        ("BREW", PATH, 501),
    ],
)
def test_other_paths_and_methods_are_left_to_the_class_that_was_given(
    client: Inngest, method: str, path: str, status: int
) -> None:
    with serve(stepserve.http_server.serve(client, [answering(client)], base=Quiet)) as port:
        assert Sender(port)(method, path).status == status


@pytest.mark.parametrize("base", [Quiet, QuietHTTP11])
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_every_version_of_http_is_served(
    client: Inngest, base: type[BaseHTTPRequestHandler], is_streamed: bool, chunked: bool
) -> None:
    streaming = Streaming.FORCE if is_streamed else Streaming.DISABLE
    served = stepserve.http_server.serve(client, [answering(client)], base=base, streaming=streaming)
    head = b"transfer-encoding: Chunked\r\n\r\n" if chunked else b"content-length: %d\r\n\r\n" % len(BODY)
    whole = b"%x;name=value\r\n%s\r\n0\r\ntrailer: 1\r\n\r\n" % (len(BODY), BODY) if chunked else BODY
    with serve(served) as port:
        answer = _exchange(port, _signed_call() + head + whole)
    status, _, rest = answer.partition(b"\r\n")

    assert status.split()[:2] == [base.protocol_version.encode(), b"201" if is_streamed else b"200"]
    assert (b"\r\nconnection: close\r\n" in rest) is is_streamed  # else nothing would mark the end of a stream
    assert rest.partition(b"\r\n\r\n")[2].strip().startswith(b'{"body":"42",' if is_streamed else b"42")


def test_a_connection_can_be_kept(client: Inngest) -> None:
    with serve(stepserve.http_server.serve(client, [answering(client)], base=QuietHTTP11)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers: list[bytes] = []
        for body in (BODY, iter([BODY[:7], BODY[7:]]), BODY):
            query, headers = "?fnId=shop-answer&stepId=step", {SIGNATURE: sign(BODY)}
            connection.request("POST", PATH + query, body, headers, encode_chunked=body is not BODY)
            used = connection.sock
            answers.append(connection.getresponse().read())

            assert connection.sock is used
        connection.close()

    assert answers == [b"42"] * 3


def test_a_request_without_host_is_answered(client: Inngest, recorder: Recorder) -> None:
    with serve(stepserve.http_server.serve(client, [answering(client)], base=Quiet)) as port:
        answer = _exchange(port, f"PUT {PATH} HTTP/1.0\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.0 200")
    assert recorder.requests[0].json()["url"] == f"http://127.0.0.1:{port}{PATH}"


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: many\r\n\r\n",
        b"content-length: -1\r\n\r\n",
        "content-length: ٣\r\n\r\n".encode(),
        b"transfer-encoding: chunked\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        b"transfer-encoding: chunked\r\n\r\n0x1\r\n",
        b"transfer-encoding: chunked\r\n\r\n" + b"1" * 5_000,
    ],
)
def test_a_body_whose_end_cannot_be_known_is_refused(client: Inngest, rest: bytes) -> None:
    with serve(stepserve.http_server.serve(client, [answering(client)], base=QuietHTTP11)) as port:
        answer = _exchange(port, _signed_call() + rest)

    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: 9\r\n\r\n{}",
        b"transfer-encoding: chunked\r\n\r\n9\r\n{}",
        b"transfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n",
    ],
)
def test_a_body_that_is_cut_off_is_not_answered(client: Inngest, rest: bytes) -> None:
    with serve(stepserve.http_server.serve(client, [answering(client)], base=QuietHTTP11)) as port:
        assert _exchange(port, _signed_call() + rest) == b""
        assert App(Sender(port)).call("answer").json() == 42


def test_middleware_is_given_the_request_handler(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    with serve(stepserve.http_server.serve(client, [answering(client)], base=Quiet)) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert isinstance(raw, Quiet)
    assert raw.path.startswith(PATH)
