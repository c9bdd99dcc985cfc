"""Apps, their functions, and invoking one, under `/v2`."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.errors import EventInvalidError
from stepserve_core.executor import ids
from stepserve_core.executor.api.http import executor_of
from stepserve_core.executor.api.v2.http import ApiError, answer, endpoint, read_object
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.store.apps import App, Function


@endpoint
async def list_apps(request: Request) -> Response:
    """`GET /v2/apps`."""
    apps = await executor_of(request).read(lambda tables: tables.apps.all())
    return answer(request, [_app_object(app) for app in apps])


@endpoint
async def get_app(request: Request) -> Response:
    """`GET /v2/apps/{app}`, by id or name."""
    return answer(request, _app_object(await _app(request)))


@endpoint
async def list_functions(request: Request) -> Response:
    """`GET /v2/apps/{app}/functions`: those that are not archived."""
    app = await _app(request)
    functions = [one for one in executor_of(request).registry.active() if one.app_id == app.id]
    return answer(request, [_function_object(one) for one in functions])


@endpoint
async def get_function(request: Request) -> Response:
    """`GET /v2/apps/{app}/functions/{function}`, by id, slug, or the id within the app."""
    return answer(request, _function_object(await _function(request)))


@endpoint
async def invoke(request: Request) -> Response:
    """`POST /v2/apps/{app}/functions/{function}/invoke`: `{data?, idempotencyKey?}` gives `{runId}`.

    409 with the id of the run that has the key already; 422 where flow control starts no run.
    """
    function, given, executor = await _function(request), await read_object(request), executor_of(request)
    key = given.get("idempotencyKey")
    if not (key is None or (isinstance(key, str) and key)):
        raise ApiError(400, "invalid_request", "idempotencyKey must be a text")
    event: dict[str, Any] = {"data": given.get("data")}
    if key is not None:
        event["id"] = f"invoke-{hashlib.sha256(key.encode()).hexdigest()}"
    try:
        event_id = await executor.invoke(function.slug, msgspec.json.encode(event))
    except EventInvalidError as error:
        raise ApiError(400, "invalid_request", str(error)) from None
    runs = await executor.read(lambda tables: tables.runs.of_event(event_id))
    if runs and runs[0].status != "Skipped":
        return answer(request, {"runId": runs[0].id})
    if key is not None:
        # The key under which a single event reserves a run; see `schedule.Cause`.
        reserved = f"{function.id}-{event['id']}"
        holder = await executor.read(lambda tables: tables.runs.holder(reserved, executor.clock.now()))
        if holder is not None:
            raise ApiError(409, "already_invoked", "the idempotency key was used before", {"runId": holder})
    raise ApiError(422, "function_skipped", "flow control of the function let this invocation start no run now")


async def _app(request: Request) -> App:
    wanted = request.path_params["app"]
    by_name = ids.app_id(wanted)
    found = await executor_of(request).read(lambda tables: tables.apps.get(wanted) or tables.apps.get(by_name))
    if found is None:
        raise ApiError(404, "not_found", f"there is no app {wanted!r}")
    return found


async def _function(request: Request) -> Function:
    app, wanted = await _app(request), request.path_params["function"]
    for one in executor_of(request).registry.active():
        if one.app_id == app.id and (wanted in (one.id, one.slug) or one.slug == f"{app.name}-{wanted}"):
            return one
    raise ApiError(404, "not_found", f"the app {app.name!r} has no function {wanted!r}")


def _app_object(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "name": app.name,
        "url": app.url,
        "sdk": app.sdk,
        "framework": app.framework,
        "appVersion": app.version,
        "error": app.error,
        "syncedAt": to_rfc3339(app.synced_at),
    }


def _function_object(function: Function) -> dict[str, Any]:
    return {
        "id": function.id,
        "slug": function.slug,
        "name": function.config.name,
        "appId": function.app_id,
        "version": function.version,
        "archived": function.archived,
        "paused": function.paused,
        "triggers": function.config.triggers,
        "config": function.config,
    }
