"""Apps and the server itself: registration, health, the dev document (executor.md 1.7 and 1.8)."""

from __future__ import annotations

import uuid

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stepserve_core import _protocol
from stepserve_core._version import VERSION
from stepserve_core.errors import FunctionNotFoundError
from stepserve_core.executor import ids, limits
from stepserve_core.executor.api.http import (
    HttpError,
    access_of,
    envelope,
    executor_of,
    json_response,
    read_body,
    require_bearer,
    require_key,
)
from stepserve_core.executor.functions import RegistrationInvalidError


async def register(request: Request) -> Response:
    """`POST /fn/register`."""
    require_bearer(request)
    expected, kind = request.headers.get(_protocol.EXPECTED_SERVER_KIND), access_of(request).kind
    if expected and expected != kind:
        raise HttpError(400, f"Expected server kind {expected}, got {kind}")
    body = await read_body(request, limits.REGISTER_BODY)
    try:
        registered = await executor_of(request).register(body)
    except RegistrationInvalidError as error:
        raise HttpError(400, str(error), data=error.problems or None) from None
    return json_response(
        {"ok": True, "modified": registered.modified, "sync_id": str(uuid.uuid4()), "app_id": registered.app_id}
    )


async def remove(request: Request) -> Response:
    """`DELETE /fn/remove?url=`: forget the app that was synced from a URL and archive its functions."""
    require_key(request)
    url = request.query_params.get("url", "")
    executor = executor_of(request)
    found = await executor.read(lambda tables: tables.apps.of_url(url))
    removed = [await executor.remove_app(app.id) for app in found]
    if not any(removed):
        raise HttpError(404, "App not found")
    return Response(status_code=200)


async def list_functions(request: Request) -> Response:
    """`GET /v1/apps/{name}/functions`: the configurations as a bare array, without those that are archived."""
    require_key(request)
    executor, app_id = executor_of(request), ids.app_id(request.path_params["name"])
    if await executor.read(lambda tables: tables.apps.get(app_id)) is None:
        raise HttpError(404, "App not found")
    return json_response([one.config for one in executor.registry.active() if one.app_id == app_id])


async def health(_request: Request) -> Response:
    """`GET /health`."""
    return json_response({"status": 200, "message": "OK"})


async def dev(request: Request) -> Response:
    """`GET /dev`: SDKs conclude from a 200 that a dev server runs, so in production there is none."""
    access = access_of(request)
    if access.kind != "dev":
        return PlainTextResponse("Not Found", 404)
    registry = executor_of(request).registry
    functions = [
        {
            "id": function.id,
            "slug": function.slug,
            "name": function.config.name,
            "triggers": function.config.triggers,
            "url": function.config.url,
        }
        for function in registry.active()
    ]
    return json_response(
        {
            "version": VERSION,
            "authed": False,
            "startOpts": request.app.state.start_options,
            "functions": functions,
            "handlers": [],
            "isSingleNodeService": False,
            "isMissingSigningKey": not access.signing_keys,
            "isMissingEventKeys": not access.event_keys,
            "features": {"FEATURE_CEL_SEARCH": True, "run-details-v4": True, "enable-step-metadata": True},
        }
    )


async def tick(request: Request) -> Response:
    """`POST /v1/functions/{slug}/tick`: let the pending ticks of a cron function fire now."""
    require_key(request)
    try:
        ticks = await executor_of(request).tick(request.path_params["slug"])
    except FunctionNotFoundError as error:
        raise HttpError(404, str(error)) from None
    return envelope(request, {"ticks": ticks})


class _PauseBody(msgspec.Struct):
    mode: str = "hold"


async def pause(request: Request) -> Response:
    """`POST /v1/functions/{slug}/pause`: start no runs. New ones wait (`{"mode": "hold"}`) or are skipped (`skip`)."""
    require_key(request)
    try:
        body = msgspec.json.decode(await read_body(request, limits.EVENT_SIZE) or b"{}", type=_PauseBody)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body cannot be read: {error}") from None
    if body.mode not in ("hold", "skip"):
        raise HttpError(400, f"mode must be hold or skip, not {body.mode!r}")
    try:
        await executor_of(request).pause(request.path_params["slug"], skip=body.mode == "skip")
    except FunctionNotFoundError as error:
        raise HttpError(404, str(error)) from None
    return envelope(request, {"paused": body.mode})


async def resume(request: Request) -> Response:
    """`POST /v1/functions/{slug}/resume`: start runs again, those that waited first."""
    require_key(request)
    try:
        await executor_of(request).resume(request.path_params["slug"])
    except FunctionNotFoundError as error:
        raise HttpError(404, str(error)) from None
    return envelope(request, {"paused": None})
