"""Metadata from outside: `POST /v1/runs/{id}/metadata` (executor.md 1.6)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import ids, limits
from stepserve_core.executor.api.http import HttpError, executor_of, read_body, require_key
from stepserve_core.executor.metadata import MetadataInvalidError, read_entries


class _Target(msgspec.Struct):
    step_id: str | None = None


class _Body(msgspec.Struct):
    metadata: msgspec.Raw
    target: _Target = msgspec.field(default_factory=_Target)


async def add_metadata(request: Request) -> Response:
    """Attach metadata to a run, or to the step that `target.step_id` names by its hash or its name."""
    require_key(request)
    run_id = request.path_params["id"]
    if not ids.is_ulid(run_id):
        raise HttpError(400, "The run ID specified is invalid")
    body = await read_body(request, limits.RUN_METADATA + 4096)
    try:
        given = msgspec.json.decode(body, type=_Body)
        entries = read_entries(given.metadata)
        known = await executor_of(request).add_metadata(run_id, given.target.step_id, entries)
    except MetadataInvalidError as error:
        raise HttpError(413 if error.too_large else 400, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is no metadata: {error}") from None
    if not known:
        raise HttpError(404, "Run or step not found")
    return Response(status_code=200)
