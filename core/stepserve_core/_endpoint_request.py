"""Requests to durable endpoints: who makes one, who listens, and what the server learns of it (protocol.md 13.3)."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stepserve_core import _protocol
from stepserve_core._endpoint_answer import LARGEST_BODY, Plain, refusal
from stepserve_core._endpoint_events import EVENT_STREAM
from stepserve_core._protocol import Request
from stepserve_core._registration import serve_url
from stepserve_core._signature import verify
from stepserve_core.errors import ConfigurationError, UnauthorizedError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest


_ORIGIN: Final = "INNGEST_SERVE_ORIGIN"


def require_origin(client: Inngest) -> None:
    """Refuse endpoints in production that do not know where their app is.

    The server makes the requests of clients again, and signs them. If the Host header of a client said where, anybody
    could have it sign any body, and call the functions of the app with that.

    Raises:
        ConfigurationError: INNGEST_SERVE_ORIGIN is not set.
    """
    if client.is_production and not os.environ.get(_ORIGIN):
        raise ConfigurationError(
            f"a durable endpoint in production must know where the server finds the app: set {_ORIGIN}, such as"
            " https://shop.example.com. The Host header of a request is not to be trusted for that."
        )


def refuse_misfit(client: Inngest, request: Request) -> Plain | None:
    """Return what answers a request that no route is run for; None for all others."""
    if len(request.body) > LARGEST_BODY:
        return refusal(413, f"a durable endpoint takes bodies of up to {LARGEST_BODY} bytes")
    try:
        if is_reentry(request):
            check_reentry(client, request)
    except UnauthorizedError as error:
        return refusal(401, str(error))
    return None


def is_reentry(request: Request) -> bool:
    """Say whether this is, or claims to be, a client's request that the server makes again: see `check_reentry`."""
    return bool(request.headers.get(_protocol.RUN_ID) and request.headers.get(_protocol.SIGNATURE))


def check_reentry(client: Inngest, request: Request) -> None:
    """Check that it was the server who made a client's request again. Clients cannot sign, and are not believed.

    Raises:
        UnauthorizedError: it was somebody else. Such a request is none of a client either: it would begin a run for
            each call of a server that has another key, and that run would be called too, and so on.
    """
    if client.is_production:
        verify(request.body, request.headers.get(_protocol.SIGNATURE), client.settings.keys, time.time())


def is_listened_to(request: Request) -> bool:
    """Say whether a client wants to hear what the route does. What is refused needs no stream for that."""
    if not _accepts_events(request) or request.method == "HEAD":
        return False
    return len(request.body) <= LARGEST_BODY and not is_reentry(request)


def may_listen(request: Request) -> bool:
    """Say whether the client of a request that is made again may listen; some servers do not say what it accepts."""
    return not request.headers.get("accept") or _accepts_events(request)


def _accepts_events(request: Request) -> bool:
    return EVENT_STREAM in (request.headers.get("accept") or "").lower()


def describe(request: Request, name: str, *, is_listened_to: bool) -> dict[str, str]:
    """Return the data of the event of a run that a request begins (protocol.md 13.2).

    `accept` says how the request is made again; servers that do not know it leave it out. `domain` is where it is made:
    see `require_origin`.
    """
    parts = urlsplit(request.url)
    origin = urlsplit(serve_url(request.url, serve_origin=os.environ.get(_ORIGIN), path=None))
    return {
        "domain": f"{origin.scheme}://{origin.netloc}",
        "method": request.method,
        "path": parts.path or "/",
        "query_params": parts.query,
        "content_type": request.headers.get("content-type") or "",
        "accept": EVENT_STREAM if is_listened_to else "*/*",
        "body": base64.b64encode(request.body).decode(),
        "ip": "",
        "fn": name,
    }
