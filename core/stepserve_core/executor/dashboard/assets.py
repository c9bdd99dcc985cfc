"""The dashboard's files, with a policy under which nothing but them can run."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Written down here: what the system's own table says differs from machine to machine."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline scripts or styles, no other origins, no frames, and no way from text to markup."""

_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # Browsers keep files and ask each time whether they are current: an upgrade shows at once.
    "cache-control": "no-cache",
}
_PAGES = (
    "/",
    "/runs",
    "/runs/{id}",
    "/events",
    "/events/{id}",
    "/functions",
    "/functions/{slug:path}",
    "/apps",
    "/send",
)
"""Addresses of pages. Each gets the same document, which looks at its address."""


class _Asset(NamedTuple):
    content: bytes
    media_type: str
    tag: str


@cache
def _assets() -> dict[str, _Asset]:
    """Read the files once; there is nothing to serve but them, whatever a path says."""
    found: dict[str, _Asset] = {}
    for path in sorted(_STATIC.rglob("*")):
        media_type = _TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
            found[path.relative_to(_STATIC).as_posix()] = _Asset(content, media_type, tag)
    return found


async def _page(request: Request) -> Response:
    return _serve(request, "index.html")


async def _file(request: Request) -> Response:
    return _serve(request, request.path_params["path"])


def _serve(request: Request, name: str) -> Response:
    asset = _assets().get(name)
    if asset is None:
        return PlainTextResponse("Not Found", 404)
    headers = {**_HEADERS, "etag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


ASSET_ROUTES = [
    *(Route(path, _page, methods=["GET"]) for path in _PAGES),
    Route("/dashboard/{path:path}", _file, methods=["GET"]),
]
