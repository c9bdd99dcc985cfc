"""Signals: `POST /v1/signals` (executor.md 1.6 and 5.8)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, envelope, executor_of, read_body, require_key
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep


class _Signal(msgspec.Struct):
    signal: str
    data: msgspec.Raw = msgspec.Raw(b"null")


async def send_signal(request: Request) -> Response:
    """`POST /v1/signals`: give a signal to the run that waits for it; 404 where none does."""
    require_key(request)
    body = await read_body(request, limits.STEP_OUTPUT)
    if is_too_deep(body):
        raise HttpError(400, f"the signal is {TOO_DEEP}")
    try:
        given = msgspec.json.decode(body, type=_Signal)
        data = canonicalize(bytes(given.data))
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is not a signal: {error}") from None
    if not given.signal:
        raise HttpError(400, "a signal needs a name")
    run_id = await executor_of(request).signal(given.signal, data)
    if run_id is None:
        raise HttpError(404, "No signal found")
    return envelope(request, {"run_id": run_id})
