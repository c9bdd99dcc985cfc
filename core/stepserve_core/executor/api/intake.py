"""Taking things in: events and invocations (executor.md 2.1 and 1.6)."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core import _protocol
from stepserve_core.errors import EventInvalidError
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import access_of, executor_of, json_response, read_body, require_key


async def send_events(request: Request) -> Response:
    """`POST /e/{key}`: answer after the events and the runs they start have been committed."""
    refused = _check_event_key(request)
    if refused is not None:
        return refused
    body = await read_body(request, limits.EVENT_BODY)
    content_type = request.headers.get("content-type", "application/json")
    seed = request.headers.get(_protocol.EVENT_ID_SEED)
    ids, error = await executor_of(request).accept(body, content_type, seed)
    if error is not None:
        return json_response({"ids": ids, "status": 400, "error": error}, 400)
    return json_response({"ids": ids, "status": 200})


async def take_telemetry(request: Request) -> Response:
    """`POST /v0/telemetry`: SDKs send figures about themselves; nobody looks at them here."""
    require_key(request)
    return Response(status_code=200)


async def take_spans(request: Request) -> Response:
    """`POST /v1/traces/userland` and `/dev/traces`: SDKs send spans of users' code, which are not kept.

    Calls carry `traceparent`, so that spans meet in the collector that the app has, in one trace for each run.
    """
    require_key(request)
    await read_body(request, limits.SPANS_BODY)
    # No message at all, and an empty object, say in OTLP that everything was taken.
    is_json = request.headers.get("content-type", "").startswith("application/json")
    kind = "application/json" if is_json else "application/x-protobuf"
    return Response(b"{}" if is_json else b"", media_type=kind)


async def invoke(request: Request) -> Response:
    """`POST /invoke/{slug}`. Unlike upstream it asks for the key where there is one: it starts functions."""
    require_key(request)
    body = await read_body(request, limits.EVENT_SIZE)
    seed = request.headers.get(_protocol.EVENT_ID_SEED)
    try:
        event_id = await executor_of(request).invoke(request.path_params["slug"], body, seed)
    except EventInvalidError as error:
        return json_response({"status": 400, "error": str(error)}, 400)
    return json_response({"id": event_id, "status": 200})


def _check_event_key(request: Request) -> Response | None:
    access = access_of(request)
    if access.kind == "dev":
        return None
    if not access.event_keys:
        return _refuse(503, "Event keys are required to process events securely")
    given = request.path_params.get("key", "").encode()
    if not given:
        return _refuse(401, "Event key is required")
    matches = [hmac.compare_digest(given, key.encode()) for key in access.event_keys]
    return None if any(matches) else _refuse(401, "Event key not found")


def _refuse(status: int, error: str) -> Response:
    return json_response({"status": status, "error": error}, status)
