"""The standard library's `http.server`, with a thread for each request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stepserve.http_server
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers


class HTTPServer(Harness):
    """The standard library's `http.server`."""

    FRAMEWORK = "http_server"
    CALLS_FROM_LOOP = False

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> type[BaseHTTPRequestHandler]:
        """Return a request handler class that serves the functions at the usual path."""
        return stepserve.http_server.serve(client, functions, base=_base(before_request), **options)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve in threads."""
        return serve(app)


def _base(before_request: Callable[[], None] | None) -> type[BaseHTTPRequestHandler]:
    class Base(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            """Call a function before each request."""
            if before_request is not None:
                before_request()
            return super().parse_request()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
            """Keep quiet."""

    return Base


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default, 5, turns connections away when many calls come at once


@contextlib.contextmanager
def serve(request_handler: type[BaseHTTPRequestHandler]) -> Generator[int, None, None]:
    """Serve with a thread for each request."""
    with (
        _Server(("127.0.0.1", 0), request_handler) as server,
        servers.in_thread(lambda: server.serve_forever(poll_interval=0.02), server.shutdown),
    ):
        yield server.server_port
