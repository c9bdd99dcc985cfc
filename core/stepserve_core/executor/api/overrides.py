"""`/fn/step-limit` and `/fn/state-size-limit`: other limits for the runs of one function (executor.md 1.6)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.errors import EventInvalidError, FunctionNotFoundError
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, executor_of, read_body, require_bearer
from stepserve_core.executor.forms import is_form, read_form

_FORM_SIZE = 4096


async def limit_steps(request: Request) -> Response:
    """`POST /fn/step-limit`: let runs of `functionId` (id or slug) have `limit` steps, until the server stops."""
    fields = await _fields(request)
    limit = _limit(fields, limits.MOST_STEPS_PER_RUN)
    return await _override(request, fields, steps=limit)


async def reset_steps(request: Request) -> Response:
    """`DELETE /fn/step-limit`: let runs of `functionId` have as many steps as all others."""
    return await _override(request, await _fields(request), steps=limits.STEPS_PER_RUN)


async def limit_state(request: Request) -> Response:
    """`POST /fn/state-size-limit`: let runs of `functionId` (id or slug) have `limit` bytes of state, not more."""
    fields = await _fields(request)
    limit = _limit(fields, limits.RUN_STATE)
    return await _override(request, fields, state=limit)


async def reset_state(request: Request) -> Response:
    """`DELETE /fn/state-size-limit`: let runs of `functionId` have as much state as all others."""
    return await _override(request, await _fields(request), state=limits.RUN_STATE)


async def _fields(request: Request) -> dict[str, str]:
    """Return what the query says, and what a form in the body says instead.

    Raises:
        HttpError: 401 without a key, 400 where the form cannot be read.
    """
    require_bearer(request)
    body, content_type = await read_body(request, _FORM_SIZE), request.headers.get("content-type", "")
    try:
        form = read_form(body, content_type) if is_form(content_type) else {}
    except EventInvalidError as error:
        raise HttpError(400, str(error)) from None
    return {**request.query_params, **{name: values[-1] for name, values in form.items() if values}}


def _limit(fields: dict[str, str], largest: int) -> int:
    text = fields.get("limit", "")
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= largest):
        raise HttpError(400, f"limit must be a number from 1 to {largest}, not {text[:20]!r}")
    return int(text)


async def _override(
    request: Request, fields: dict[str, str], *, steps: int | None = None, state: int | None = None
) -> Response:
    slug = fields.get("functionId", "")
    if not slug:
        raise HttpError(400, "functionId must be the id or the slug of a function")
    try:
        await executor_of(request).limit_runs(slug, steps=steps, state=state)
    except FunctionNotFoundError as error:
        raise HttpError(404, str(error)) from None
    return Response(status_code=200)
