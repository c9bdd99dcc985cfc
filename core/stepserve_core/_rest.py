"""Requests to the server's REST API: signals, cancellation, metadata, realtime (protocol.md sections 13 and 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from stepserve_core import _http
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import Runtime
from stepserve_core.errors import ServerAPIError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

TIMEOUT = 30.0
"""Seconds for an answer."""


async def ask_server(
    client: Inngest,
    runtime: Runtime,
    method: str,
    path: str,
    *,
    purpose: str,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    content_type: str = "application/json",
    accept: tuple[int, ...] = (),
) -> _http.HTTPResponse:
    """Send a request to the REST API; return the response if its status is 2xx or one of `accept`.

    Args:
        purpose: what could not be done, for the error: "the signal 'paid' could not be sent".

    Raises:
        ServerAPIError: the server could not be reached, does not know the path, or refused.
    """
    url = client.settings.api_url(path) + (f"?{urlencode(query)}" if query else "")
    headers = {**client.headers, "content-type": content_type}
    try:
        response = await send_authenticated(client, runtime, method, url, headers=headers, body=body, timeout=TIMEOUT)
    except _http.HTTPFailedError as error:
        raise ServerAPIError(f"{purpose}: {client.api_origin} could not be reached: {error}", None) from None
    if 200 <= response.status < 300 or response.status in accept:
        return response
    raise ServerAPIError(f"{purpose}: {_reason(client, path, response)}", response.status)


def run_path(run_id: str) -> str:
    """Return the path of a run."""
    return f"/v1/runs/{quote(run_id, safe='')}"


def error_text(response: _http.HTTPResponse) -> str | None:
    """Return the error of an answer of the API; None where the answer is something else, as of an unknown path."""
    try:
        return msgspec.json.decode(response.body, type=_Error).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Error(msgspec.Struct):
    error: str


def _reason(client: Inngest, path: str, response: _http.HTTPResponse) -> str:
    said = error_text(response)
    if response.status in (404, 405, 501) and said is None:
        return f"the server at {client.api_origin} does not offer {path} (HTTP {response.status})"
    text = said or response.body[:200].decode("utf-8", "replace")
    return f"HTTP {response.status} {text}".rstrip()
