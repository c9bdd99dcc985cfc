"""Serve functions with the standard library's `http.server`, and nothing installed.

Each request has a thread, and async functions run on one background event loop of the process. The standard library
says that its server is not for production; it is good for tools, tests and small machines behind a proxy.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.handler import BODY_LIMIT, Handler, Request, ServeOptions, Stream, resolve_path

FRAMEWORK = "http_server"

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def serve(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    base: type[BaseHTTPRequestHandler] = BaseHTTPRequestHandler,
    **options: Unpack[ServeOptions],
) -> type[BaseHTTPRequestHandler]:
    """Return a request handler class that serves `functions` at /api/inngest, or at `serve_path`.

    All other paths are left to `base`. For the options and errors see `Handler`.

    `ThreadingHTTPServer(("127.0.0.1", 8000), serve(client, functions)).serve_forever()`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    path = resolve_path(options.get("serve_path"))
    methods = {f"do_{method}": _method(method, base, path, handler) for method in _METHODS}
    # Head and body leave in two packets; the second shall not wait until the first has been acknowledged.
    return type("ServeRequestHandler", (base,), {**methods, "disable_nagle_algorithm": True})


def _method(
    method: str, base: type[BaseHTTPRequestHandler], path: str, handler: Handler
) -> Callable[[BaseHTTPRequestHandler], None]:
    inherited: Callable[[BaseHTTPRequestHandler], None] | None = getattr(base, f"do_{method}", None)

    def serve_or_leave(request: BaseHTTPRequestHandler) -> None:
        if request.path.partition("?")[0] == path:
            _respond(request, handler)
        elif inherited is not None:
            inherited(request)
        else:
            request.send_error(404 if method in ("GET", "HEAD") else 501)

    return serve_or_leave


def _respond(request: BaseHTTPRequestHandler, handler: Handler) -> None:
    body = _read_body(request)
    if body is None:
        request.close_connection = True
        return
    response = handler.stream(Request(request.command, _url(request), request.headers, body, request))
    request.send_response(response.status)
    for name, value in response.headers.items():
        request.send_header(name, value)
    try:
        if isinstance(response, Stream):
            request.send_header("connection", "close")  # which marks the end for every version of HTTP
            request.end_headers()
            for chunk in response.chunks:
                request.wfile.write(chunk)
            return
        request.send_header("content-length", str(len(response.body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(response.body)
    except ConnectionError:  # the client went away; nobody is left to be told
        request.close_connection = True


def _url(request: BaseHTTPRequestHandler) -> str:
    scheme = "https" if isinstance(request.connection, ssl.SSLSocket) else "http"
    host = request.headers.get("host")
    if host is None:
        name, port = request.connection.getsockname()[:2]
        host = f"{name}:{port}"
    return f"{scheme}://{host}{request.path}"


def _read_body(request: BaseHTTPRequestHandler) -> bytes | None:
    """Return the body; None if the client went away before it was complete, or does not keep to HTTP."""
    if request.headers.get("transfer-encoding", "").strip().lower() == "chunked":
        return _read_chunked(request)
    length = request.headers.get("content-length", "0").strip()
    if not length.isascii() or not length.isdecimal():
        request.send_error(400, "Bad content-length")
        return None
    # Of a body that is refused for its size the rest is left unread, which ends the connection.
    request.close_connection |= int(length) > BODY_LIMIT
    return _read_exactly(request, min(int(length), BODY_LIMIT + 1))


def _read_chunked(request: BaseHTTPRequestHandler) -> bytes | None:
    """Read a body in pieces, each after its size in a line of its own (RFC 9112, section 7.1)."""
    pieces: list[bytes] = []
    total = 0
    while True:
        line = request.rfile.readline(1024)
        size = line.partition(b";")[0].strip()
        if not line.endswith(b"\n") or not size or size.strip(b"0123456789abcdefABCDEF"):
            request.send_error(400, "Bad chunk")
            return None
        if int(size, 16) == 0:
            break
        piece = _read_exactly(request, min(int(size, 16), BODY_LIMIT + 1))
        pieces.append(piece or b"")
        total += len(pieces[-1])
        if total > BODY_LIMIT:
            request.close_connection = True
            return b"".join(pieces)
        if piece is None or request.rfile.readline(3).strip():
            return None
    while request.rfile.readline(65_536).strip():  # trailers, which mean nothing to us
        pass
    return b"".join(pieces)


def _read_exactly(request: BaseHTTPRequestHandler, length: int) -> bytes | None:
    try:
        body = request.rfile.read(length)
    except ConnectionError:
        return None
    return body if len(body) == length else None
