"""Logging in to the dashboard: `GET`, `POST` and `DELETE /dashboard/session`."""

from __future__ import annotations

import hmac

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepserve_core._version import VERSION
from stepserve_core.executor.api.http import (
    HttpError,
    access_of,
    executor_of,
    has_session,
    is_key,
    is_same_origin,
    json_response,
    read_body,
)
from stepserve_core.executor.dashboard.sessions import COOKIE, LIFE, Guesses

_LARGEST_BODY = 4096


class _Login(msgspec.Struct):
    secret: str


async def _show(request: Request) -> Response:
    """Say whether one must log in, and whether one has."""
    access = access_of(request)
    needed = bool(access.signing_keys)
    entered = not needed or has_session(request)
    return json_response({"kind": access.kind, "version": VERSION, "loginNeeded": needed, "entered": entered})


async def _log_in(request: Request) -> Response:
    """Take a signing key or the dashboard's token; answer with a cookie."""
    if not is_same_origin(request):
        raise HttpError(403, "logging in works from the dashboard's own pages only")
    body = await read_body(request, _LARGEST_BODY)
    try:
        secret = msgspec.json.decode(body, type=_Login).secret
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body cannot be read: {error}") from None
    guesses: Guesses = request.app.state.guesses
    now, address = executor_of(request).clock.now(), request.client.host if request.client else ""
    seconds = guesses.wait(address, now)
    if seconds:
        answer = {"error": f"too many wrong keys; try again in {seconds} s", "data": None, "status": 429}
        response = json_response(answer, 429)
        response.headers["retry-after"] = str(seconds)
        return response
    if not _opens(request, secret):
        guesses.note(address, now)
        raise HttpError(401, "this is neither the signing key nor the dashboard's token")
    response = Response(status_code=204)
    _set_cookie(request, response, request.app.state.sessions.issue(now), LIFE)
    return response


async def _log_out(request: Request) -> Response:
    """Take the cookie away."""
    if not is_same_origin(request):
        raise HttpError(403, "logging out works from the dashboard's own pages only")
    response = Response(status_code=204)
    _set_cookie(request, response, "", 0)
    return response


def _opens(request: Request, secret: str) -> bool:
    access = access_of(request)
    token = access.dashboard_token
    # Both comparisons are made, whatever the first one gave.
    is_token = token is not None and hmac.compare_digest(secret.strip().encode(), token.encode())
    return is_key(access, secret) or is_token


def _set_cookie(request: Request, response: Response, value: str, life: int) -> None:
    is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    response.set_cookie(COOKIE, value, max_age=life, path="/", httponly=True, samesite="strict", secure=is_secure)


LOGIN_ROUTES = [
    Route("/dashboard/session", _show, methods=["GET"]),
    Route("/dashboard/session", _log_in, methods=["POST"]),
    Route("/dashboard/session", _log_out, methods=["DELETE"]),
]
