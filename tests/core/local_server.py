"""A real HTTP server on the loopback interface that records what it is sent and answers as it is told."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Recorded(NamedTuple):
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        """Return the body, decoded."""
        return json.loads(self.body)


class Reply(NamedTuple):
    """What to answer; `drop` closes the connection without a word instead."""

    status: int = 200
    body: bytes = b"{}"
    drop: bool = False


class LocalServer:
    """Answers with what `answer` returns for each request."""

    def __init__(self, answer: Callable[[Recorded], Reply]) -> None:
        self.requests: list[Recorded] = []
        self.connections: set[tuple[str, int]] = set()
        recorder = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet; else each answer waits for an acknowledgement

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Recorded(self.command, self.path, headers, body)
                recorder.requests.append(request)
                recorder.connections.add(self.client_address)
                reply = answer(request)
                if reply.drop:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_DELETE = do_GET = do_POST = _serve

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                del format, args

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Answering)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> LocalServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(*replies: Reply) -> Generator[LocalServer]:
    """Answer with `replies` one after the other, and with the last one from then on."""
    waiting = list(replies)

    def answer(request: Recorded) -> Reply:
        del request
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    with LocalServer(answer) as server:
        yield server
