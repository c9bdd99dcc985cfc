"""A server that records what apps send to it, and answers what a test tells it to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Recorded(NamedTuple):
    """A request; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Recorder(ThreadingHTTPServer):
    """Takes registrations (4.5) and events (8.1)."""

    daemon_threads = True

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Generator[Recorder, None, None]:
        """Serve on a free loopback port."""
        with cls(("127.0.0.1", 0), _RequestHandler) as recorder:
            recorder.forget()
            thread = threading.Thread(target=recorder.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            yield recorder
            recorder.shutdown()
            thread.join()

    @property
    def origin(self) -> str:
        """Return the origin."""
        return f"http://127.0.0.1:{self.server_port}"

    def forget(self) -> None:
        """Forget all requests and answers."""
        self.requests: list[Recorded] = []
        self.answers: list[tuple[int, bytes]] = []

    def answer_next(self, status: int, body: bytes) -> None:
        """Answer the next request that has no other answer yet with this."""
        self.answers.append((status, body))

    def usual_answer(self, request: Recorded) -> tuple[int, bytes]:
        """Return what a server that is content would answer."""
        if request.path.startswith("/e/"):
            ids = [f"event-{number}" for number in range(len(request.json()))]
            return 200, json.dumps({"ids": ids, "status": 200}).encode()
        return 200, b'{"ok":true,"modified":true}'


class _RequestHandler(BaseHTTPRequestHandler):
    # Connections stay open: a client that uses one on the wrong event loop is found out.
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        recorder = self.server
        assert isinstance(recorder, Recorder)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Recorded(self.command, self.path, headers, body)
        recorder.requests.append(request)
        status, answer = recorder.answers.pop(0) if recorder.answers else recorder.usual_answer(request)
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Keep quiet."""
