"""WSGI: requests from an environ, and an application for any WSGI server or framework.

Every adapter of a WSGI framework begins here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.handler import BODY_LIMIT, Handler, Request, Response, ServeOptions

FRAMEWORK = "wsgi"

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> WSGIApp:
    """Return a WSGI application that serves `functions` wherever it is mounted; see `Handler` for the options.

    Its server or your router decides which paths lead to it; `serve_path` is only what it reports.
    """
    return WSGIApp(Handler(client, functions, framework=FRAMEWORK, **options))


class WSGIApp:
    """A WSGI application that serves one handler at whatever path it is mounted."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        response = self._handler.stream(request_from(environ, read_body(environ), environ))
        headers = list(response.headers.items())
        if isinstance(response, Response):
            headers.append(("content-length", str(len(response.body))))
        start_response(_STATUS_LINES[response.status], headers)
        if not isinstance(response, Response):
            return response.chunks
        # Not every server leaves it to itself that an answer to HEAD has no body.
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def read_body(environ: Mapping[str, Any]) -> bytes:
    """Read the body of a request, or of one that is refused for its size the beginning.

    A chunked one is read only from servers that mark its end.
    """
    length = environ.get("CONTENT_LENGTH")
    stream = environ["wsgi.input"]
    if length:
        body: bytes = stream.read(min(int(length), BODY_LIMIT + 1))
    else:
        body = stream.read(BODY_LIMIT + 1) if environ.get("wsgi.input_terminated") else b""
    return body


class EnvironHeaders:
    """Finds headers in a WSGI environ by their lower-case names."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None."""
        return self._environ.get(f"HTTP_{name.upper().replace('-', '_')}")


def request_from(environ: Mapping[str, Any], body: bytes, raw: object) -> Request:
    """Return the core's request for a WSGI environ."""
    headers, query = EnvironHeaders(environ), environ.get("QUERY_STRING", "")
    return Request(environ["REQUEST_METHOD"], partial(_url, environ), headers, body, raw, query_string=query)


def _url(environ: Mapping[str, Any]) -> str:
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    # WSGI hands paths over as latin-1 text of the bytes that came (PEP 3333).
    path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    query = environ.get("QUERY_STRING")
    url = f"{environ['wsgi.url_scheme']}://{host}{path}"
    return f"{url}?{query}" if query else url
