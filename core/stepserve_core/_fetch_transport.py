"""The httpx transports over `step.fetch`. Imported when one is made: this module imports httpx."""

from __future__ import annotations

from typing import Any

import httpx

from stepserve_core._fetch import FetchResponse
from stepserve_core._step import Step, StepSync

_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "accept-encoding", "content-length", "transfer-encoding", "content-encoding"}
)
"""Headers that the server sets itself, or that are not true of a body that was decoded."""


class FetchTransport(httpx.BaseTransport):
    """Makes each request a step of a `def` function."""

    def __init__(self, step: StepSync) -> None:
        self._step = step

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let the server make the request."""
        body = request.read()
        return _to_httpx(request, self._step.fetch(_step_id(request), str(request.url), **_arguments(request, body)))


class AsyncFetchTransport(httpx.AsyncBaseTransport):
    """Makes each request a step of an `async def` function."""

    def __init__(self, step: Step) -> None:
        self._step = step

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Let the server make the request."""
        body = await request.aread()
        response = await self._step.fetch(_step_id(request), str(request.url), **_arguments(request, body))
        return _to_httpx(request, response)


def make_transport(step: Step | StepSync) -> AsyncFetchTransport | FetchTransport:
    """Return the transport for the colour of `step`."""
    if isinstance(step, Step):
        return AsyncFetchTransport(step)
    if isinstance(step, StepSync):
        return FetchTransport(step)
    raise TypeError(f"fetch_transport takes ctx.step, not {type(step).__name__}")


def _step_id(request: httpx.Request) -> str:
    return f"step.fetch: {request.url.host}"  # the id that JavaScript's SDK gives


def _arguments(request: httpx.Request, body: bytes) -> dict[str, Any]:
    headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_CONNECTION}
    return {"method": request.method, "headers": headers, "body": body or None}


def _to_httpx(request: httpx.Request, response: FetchResponse) -> httpx.Response:
    headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_CONNECTION}
    if "content-type" in headers:
        # The text may have had another charset; what is handed on is UTF-8.
        parts = [part.strip() for part in headers["content-type"].split(";")]
        kept = [part for part in parts if not part.lower().startswith("charset=")]
        headers["content-type"] = "; ".join([*kept, "charset=utf-8"])
    return httpx.Response(response.status_code, headers=headers, content=response.body.encode(), request=request)
