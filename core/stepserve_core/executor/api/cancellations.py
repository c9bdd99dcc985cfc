"""Bulk cancellations: `/v1/cancellations` (executor.md 7.9)."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, envelope, executor_of, read_body, require_key
from stepserve_core.executor.expressions import ExpressionInvalidError, compile_expression
from stepserve_core.executor.moments import parse_date, to_rfc3339
from stepserve_core.executor.store.cancellations import Cancellation

_LATEST = 5.0
"""Seconds by which `started_before` may lie ahead: clocks differ."""
_LISTED = 50


class _Body(msgspec.Struct):
    function_id: str
    started_before: str
    app_id: str = ""
    started_after: str | None = None
    if_: str | None = msgspec.field(default=None, name="if")


async def create(request: Request) -> Response:
    """`POST /v1/cancellations`: cancel the runs of a function that were queued in a window."""
    require_key(request)
    executor = executor_of(request)
    try:
        body = msgspec.json.decode(await read_body(request, limits.EVENT_SIZE), type=_Body)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is not a cancellation: {error}") from None
    function = executor.registry.find(body.function_id) or executor.registry.find(f"{body.app_id}-{body.function_id}")
    if function is None:
        raise HttpError(404, f"function {body.function_id} not found")
    before = _moment("started_before", body.started_before)
    if before > executor.clock.now() + _LATEST:
        raise HttpError(400, "started_before must not lie in the future")
    after = None if body.started_after is None else _moment("started_after", body.started_after)
    if body.if_ is not None:
        try:
            compile_expression(body.if_)
        except ExpressionInvalidError as error:
            raise HttpError(400, f"if: {error}") from None
    return envelope(request, _object(request, await executor.cancel_many(function, after, before, body.if_)))


async def list_all(request: Request) -> Response:
    """`GET /v1/cancellations`: the newest ones."""
    require_key(request)
    found = await executor_of(request).read(lambda tables: tables.cancellations.newest(_LISTED))
    return envelope(request, [_object(request, cancellation) for cancellation in found])


async def remove(request: Request) -> Response:
    """`DELETE /v1/cancellations/{id}`: stop it where it is."""
    require_key(request)
    if not await executor_of(request).withdraw_cancellation(request.path_params["id"]):
        raise HttpError(404, "Cancellation not found")
    return Response(status_code=204)


def _moment(label: str, text: str) -> float:
    try:
        return parse_date(text)
    except ValueError:
        raise HttpError(400, f"{label}: {text!r} is not a date; write it as 2024-01-02T03:04:05Z") from None


def _object(request: Request, cancellation: Cancellation) -> dict[str, Any]:
    function = executor_of(request).registry.get(cancellation.function_id)
    slug = cancellation.function_id if function is None else function.slug
    after = cancellation.started_after
    return {
        "id": cancellation.id,
        "name": f"Bulk cancellation of {slug}",
        "function_id": slug,
        "function_internal_id": cancellation.function_id,
        "started_after": None if after is None else to_rfc3339(after),
        "started_before": to_rfc3339(cancellation.started_before),
        "if": cancellation.expression,
        "created_at": to_rfc3339(cancellation.created_at),
        "finished_at": None if cancellation.finished_at is None else to_rfc3339(cancellation.finished_at),
        "cancelled": cancellation.cancelled,
    }
