"""What all routes of `/v2` share: the envelope, errors, pages, parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, executor_of, json_response, read_body, require_key
from stepserve_core.executor.expressions import ExpressionInvalidError
from stepserve_core.executor.moments import parse_date, to_rfc3339
from stepserve_core.executor.run_lists import RunPage
from stepserve_core.executor.run_search import SearchInvalidError, write_cursor

Endpoint = Callable[[Request], Awaitable[Response]]


class ApiError(Exception):
    """A request that is answered with an error; `code` is for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.data = data


def endpoint(handle: Endpoint) -> Endpoint:
    """Let only bearers of a key pass, and answer errors in the form of `/v2`."""

    @wraps(handle)
    async def handled(request: Request) -> Response:
        try:
            require_key(request)
            return await handle(request)
        except ApiError as error:
            body: dict[str, Any] = {"errors": [{"code": error.code, "message": str(error)}]}
            return json_response(body if error.data is None else {**body, "data": error.data}, error.status)
        except HttpError as error:
            code = "unauthorized" if error.status == 401 else "invalid_request"
            return json_response({"errors": [{"code": code, "message": str(error)}]}, error.status)
        except (SearchInvalidError, ExpressionInvalidError) as error:
            return json_response({"errors": [{"code": "invalid_request", "message": str(error)}]}, 400)

    return handled


def answer(request: Request, data: object, page: RunPage | None = None, limit: int | None = None) -> Response:
    """Answer with data, and with where the next page begins."""
    body: dict[str, Any] = {"data": data, "metadata": {"fetchedAt": to_rfc3339(executor_of(request).clock.now())}}
    if page is not None:
        cursor = None if page.next is None else write_cursor(page.next)
        body["page"] = {"cursor": cursor, "hasMore": page.next is not None, "limit": limit}
    return json_response(body)


def read_limit(request: Request, default: int, largest: int) -> int:
    """Return how many entries are asked for.

    Raises:
        ApiError: 400, not a number from 1 to `largest`.
    """
    text = request.query_params.get("limit")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= largest):
        raise ApiError(400, "invalid_request", f"limit must be a number from 1 to {largest}, not {text[:20]!r}")
    return int(text)


def read_moment(request: Request, name: str) -> float | None:
    """Return a moment of the query.

    Raises:
        ApiError: 400, not a date.
    """
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return parse_date(text)
    except ValueError:
        message = f"{name}: {text[:40]!r} is not a date; write it as 2024-01-02T03:04:05Z"
        raise ApiError(400, "invalid_request", message) from None


def read_flag(request: Request, name: str) -> bool:
    """Return whether the query says true."""
    return request.query_params.get(name, "").lower() in ("1", "true")


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; no body is an empty one.

    Raises:
        ApiError: 400, not an object.
    """
    body = await read_body(request, limits.EVENT_SIZE)
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_request", f"the body is not a JSON object: {error}") from None
