"""`POST /v2/runs/{id}/scores` (executor.md 1.6, protocol.md 13.8)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._canonical import canonicalize
from stepserve_core._metadata import score
from stepserve_core.errors import OutputUnserializableError
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import executor_of, read_body
from stepserve_core.executor.api.reads import read_run_id
from stepserve_core.executor.api.v2.http import ApiError, answer, endpoint
from stepserve_core.executor.metadata import Entry, MetadataInvalidError


class _Score(msgspec.Struct, rename="camel"):
    name: str
    value: bool | int | float
    step_id: str | None = None


@endpoint
async def add_score(request: Request) -> Response:
    """`POST /v2/runs/{id}/scores`: `{"name", "value", "stepId"?}`: score a run, or a step of it by hash or name.

    `value` is a number or a bool. A score of the same name is replaced.
    """
    run_id, body = read_run_id(request), await read_body(request, limits.STEP_METADATA)
    try:
        given = msgspec.json.decode(body, type=_Score)
        scored = score(given.name, given.value, "run" if given.step_id is None else "step")
        entry = Entry(scored.kind, canonicalize(bytes(scored.values)))
    except (ValueError, RecursionError, OutputUnserializableError) as error:
        raise ApiError(400, "invalid_request", f"the body is no score: {error}") from None
    try:
        known = await executor_of(request).add_metadata(run_id, given.step_id, [entry])
    except MetadataInvalidError as error:
        raise ApiError(413, "too_large", str(error)) from None
    if not known:
        raise ApiError(404, "not_found", f"there is no run {run_id}, or no such step in it")
    return answer(request, {"runId": run_id})
