"""Checkpoints: steps that apps save themselves (executor.md 8)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, executor_of, read_body, require_key
from stepserve_core.executor.checkpoints import CheckpointRefusedError, save_checkpoint


async def save(request: Request) -> Response:
    """`POST /v1/checkpoint/{id}/async`: save steps of a call that is under way."""
    require_key(request)
    body = await read_body(request, limits.CHECKPOINT_BODY)
    try:
        await save_checkpoint(executor_of(request), request.path_params["id"], body)
    except CheckpointRefusedError as refusal:
        raise HttpError(refusal.status, str(refusal), data=refusal.data) from None
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"invalid request body: {error}") from None
    return Response(status_code=200)
