"""WSGI: requests from an environ. Every adapter of a WSGI framework begins here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from stepserve_core._protocol import Request


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
    return Request(environ["REQUEST_METHOD"], _url(environ), EnvironHeaders(environ), body, raw)


def _url(environ: Mapping[str, Any]) -> str:
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    # WSGI hands paths over as latin-1 text of the bytes that came (PEP 3333).
    path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    query = environ.get("QUERY_STRING")
    url = f"{environ['wsgi.url_scheme']}://{host}{path}"
    return f"{url}?{query}" if query else url
