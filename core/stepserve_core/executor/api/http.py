"""What all routes share: bodies of limited size, error JSON, envelopes, keys (executor.md 1.5)."""

from __future__ import annotations

import hmac
import logging
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from stepserve_core._signature import hash_signing_key
from stepserve_core._signing_key import strip_prefix
from stepserve_core.executor.dashboard.sessions import COOKIE, Sessions
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.store.damage import is_damage

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor


_log = logging.getLogger(__name__)


class Access(msgspec.Struct, frozen=True):
    """Who may do what. `kind` is dev or cloud; empty keys mean that everybody may.

    `dashboard_token` opens the dashboard as signing keys do. `hosts` are names under which a development server may be
    reached, besides local ones.
    """

    kind: str = "dev"
    signing_keys: Sequence[str] = ()
    event_keys: Sequence[str] = ()
    dashboard_token: str | None = None
    hosts: Sequence[str] = ()


class HttpError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, *, data: Any = None, plain: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.data = data
        self.plain = plain


def executor_of(request: Request) -> Executor:
    """Return the executor behind the API."""
    executor: Executor = request.app.state.executor
    return executor


def access_of(request: Request) -> Access:
    """Return who may do what."""
    access: Access = request.app.state.access
    return access


def json_response(value: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def envelope(request: Request, data: object) -> Response:
    """Answer with `data` and when it was fetched."""
    fetched_at = to_rfc3339(executor_of(request).clock.now())
    return json_response({"data": data, "metadata": {"fetched_at": fetched_at}})


async def error_response(_request: Request, error: Exception) -> Response:
    """Turn an `HttpError` into the public error JSON."""
    if not isinstance(error, HttpError):
        raise error
    if error.plain:
        return PlainTextResponse(str(error), error.status)
    return json_response({"error": str(error), "data": error.data, "status": error.status}, error.status)


async def database_response(_request: Request, error: Exception) -> Response:
    """Answer that the database cannot be written or read, such as when the disk is full; nothing was taken."""
    advice = "; restore a backup" if isinstance(error, sqlite3.Error) and is_damage(error) else ""
    _log.error("the database cannot be used: %s%s", error, advice)
    return json_response({"error": f"the database cannot be used: {error}{advice}", "data": None, "status": 503}, 503)


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body without ever holding more than `limit` bytes.

    Raises:
        HttpError: it is larger, or the client went away.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise HttpError(400, "the request was cut off") from None
    return b"".join(chunks)


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the request is larger than {limit} bytes")


def require_key(request: Request) -> None:
    """Let only bearers of a signing key pass, and who has logged in to the dashboard (executor.md 1.5).

    Without a configured key everybody passes.

    Raises:
        HttpError: 401, in plain text.
    """
    if "authorization" in request.headers or not has_session(request):
        require_bearer(request)


def require_bearer(request: Request) -> None:
    """Let only bearers of a signing key pass, where there is one: what sessions must not reach.

    Raises:
        HttpError: 401, in plain text.
    """
    access = access_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if access.signing_keys and not (is_key(access, token) and scheme.lower() == "bearer"):
        raise HttpError(401, "Authentication failed", plain=True)


def is_key(access: Access, text: str) -> bool:
    """Say whether `text` is a signing key or the hash of one, with or without prefix; in constant time."""
    given = strip_prefix(text.strip()).encode()
    accepted = [text.encode() for key in access.signing_keys for text in (strip_prefix(key), hash_signing_key(key))]
    # Every comparison is made, whatever the ones before gave.
    matches = [hmac.compare_digest(given, text) for text in accepted]
    return any(matches)


def has_session(request: Request) -> bool:
    """Say whether a request comes from a page of the dashboard whose user has logged in.

    Cookies are not sent from other sites (SameSite), and what changes something must come from our own pages besides.
    """
    sessions: Sessions | None = request.app.state.sessions
    cookie = request.cookies.get(COOKIE, "")
    if sessions is None or not sessions.is_valid(cookie, executor_of(request).clock.now()):
        return False
    return request.method in ("GET", "HEAD") or is_same_origin(request)


def is_same_origin(request: Request) -> bool:
    """Say whether a request was made by a page of this server: browsers say so, and no page can make them lie."""
    if request.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    return bool(host) and origin.partition("://")[2] == host
