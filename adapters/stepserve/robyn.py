"""Serve functions from a Robyn app.

Robyn believes what anybody says of a proxy, so the URL is made of the Host header alone: behind a proxy that ends TLS
set `serve_origin`. Set ROBYN_MAX_PAYLOAD_SIZE, which is a megabyte, where a release applies it (0.88 does not): the
memos of a long run are larger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import robyn
from robyn.robyn import HttpMethod
from typing_extensions import Unpack

from stepserve_core import Function, Inngest
from stepserve_core.handler import DEFAULT_PATH, AsyncStream, Handler, MountOptions, Request, ServeOptions, resolve_path

FRAMEWORK = "robyn"

# Robyn would answer 404 to others than these; the handler knows what to answer to odd ones.
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")

View = Callable[[robyn.Request], Awaitable[robyn.Response | robyn.StreamingResponse]]


def serve(
    app: robyn.Robyn, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    _add(app, resolve_path(options.get("serve_path")), Handler(client, functions, framework=FRAMEWORK, **options))


def router(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    prefix: str = "",
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> robyn.SubRouter:
    """Return a router that serves `functions` at `path` below `prefix`; see `Handler` for the options.

    `app.include_router(router(client, functions, prefix="/internal"))`
    """
    made = robyn.SubRouter(prefix=prefix)
    _add(made, path, Handler(client, functions, framework=FRAMEWORK, **options))
    return made


def _add(target: robyn.Robyn | robyn.SubRouter, path: str, handler: Handler) -> None:
    view = _view(handler)
    for method in _METHODS:
        target.add_route(getattr(HttpMethod, method), path, view, include_in_schema=False)


def _view(handler: Handler) -> View:
    async def stepserve(request: robyn.Request) -> robyn.Response | robyn.StreamingResponse:
        body: Any = request.body
        if isinstance(body, str):  # whatever is UTF-8 comes decoded
            body = body.encode()
        headers = _Headers(request.headers)
        url = partial(_url, request, headers)
        incoming = Request(request.method, url, headers, body, request, query_string=_query(request))
        answer = await handler.astream(incoming)
        outgoing = robyn.Headers(answer.headers)
        if isinstance(answer, AsyncStream):
            return robyn.StreamingResponse(answer.chunks, answer.status, outgoing, "application/json")
        return robyn.Response(answer.status, outgoing, answer.body)

    return stepserve


class _Headers:
    """Finds headers by their lower-case names; of several values, the first."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None."""
        values: list[str] | None = self._headers.get_all(name)
        return values[0] if values else None


def _url(request: robyn.Request, headers: _Headers) -> str:
    return f"http://{headers.get('host')}{request.url.path}"


def _query(request: robyn.Request) -> str:
    """Return the query: Robyn takes it apart, but leaves names and values as they were written."""
    parameters = request.query_params.to_dict().items()
    return "&".join(f"{name}={value}" for name, values in parameters for value in values)
