"""`GET /v1/runs/{id}/history`: what a run did, for replay tests; the embedded executor's own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor.api.http import HttpError, executor_of, require_key
from stepserve_core.executor.histories import build_history


async def get_history(request: Request) -> Response:
    """Answer with the history itself, in no envelope: it is kept as a file."""
    require_key(request)
    run_id: str = request.path_params["id"]
    history = await executor_of(request).read(lambda tables: build_history(tables, run_id))
    if history is None:
        raise HttpError(404, "Run not found")
    return Response(history.to_json(), media_type="application/json")
