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
from stepserve_core.executor.apps import AppSync, remedy_of
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.schedules import parse_schedule
from stepserve_core.executor.store.apps import App, Function

_TICKS = 3
"""Times of a schedule that are shown ahead."""


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
async def add_app(request: Request) -> Response:
    """`POST /v2/apps`: `{"url"}`: sync the app there. One that cannot be reached is kept too, with what is wrong."""
    url = (await read_object(request)).get("url")
    if not isinstance(url, str) or not url.strip():
        raise ApiError(400, "invalid_request", "url must be the address where the app serves its functions")
    url = url.strip() if "://" in url else f"http://{url.strip()}"
    await _syncing(request).sync(url)
    found = await executor_of(request).read(lambda tables: tables.apps.of_url(url))
    if not found:
        raise ApiError(422, "other_url", f"the app at {url} registered itself under another URL")
    return answer(request, _app_object(found[0]))


@endpoint
async def sync_app(request: Request) -> Response:
    """`POST /v2/apps/{app}/sync`: ask the app to register itself again."""
    app = await _app(request)
    if not app.url.startswith(("http://", "https://")):
        raise ApiError(422, "no_url", "this app has no URL at which it could be asked")
    await _syncing(request).sync(app.url)
    found = await executor_of(request).read(
        lambda tables: next(iter(tables.apps.of_url(app.url)), None) or tables.apps.get(app.id)
    )
    return answer(request, _app_object(found or app))


@endpoint
async def list_functions(request: Request) -> Response:
    """`GET /v2/functions` and `GET /v2/apps/{app}/functions`: those that are not archived."""
    app = await _app(request) if "app" in request.path_params else None
    functions = [one for one in executor_of(request).registry.active() if app is None or one.app_id == app.id]
    now = executor_of(request).clock.now()
    return answer(request, [_function_object(one, now) for one in functions])


@endpoint
async def get_function(request: Request) -> Response:
    """`GET /v2/apps/{app}/functions/{function}`, by id, slug, or the id within the app."""
    return answer(request, _function_object(await _function(request), executor_of(request).clock.now()))


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
    raise _held_back(function, skipped=bool(runs))


def _held_back(function: Function, *, skipped: bool) -> ApiError:
    """Say what kept a run from starting; one that was skipped is recorded, the others leave no run."""
    flow = function.flow
    if flow is not None and not skipped:
        if flow.batch is not None:
            return ApiError(422, "function_batched", "the invocation waits in a batch; the run starts with it")
        if flow.debounce is not None:
            return ApiError(422, "function_debounced", "the run starts when no further event comes for a while")
        if flow.rate_limit is not None:
            return ApiError(422, "rate_limited", "the rate limit of the function let this invocation start no run")
    return ApiError(422, "function_skipped", "the function is paused, is a singleton, or has too long a backlog")


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


def _syncing(request: Request) -> AppSync:
    sync: AppSync | None = request.app.state.sync
    if sync is None:
        raise ApiError(422, "no_sync", "this executor does not sync apps by URL")
    return sync


def _app_object(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "name": app.name,
        "url": app.url,
        "sdk": app.sdk,
        "framework": app.framework,
        "appVersion": app.version,
        "error": app.error,
        "remedy": None if app.error is None else remedy_of(app.error),
        "syncedAt": to_rfc3339(app.synced_at),
    }


def _next_ticks(function: Function, now: float) -> list[dict[str, Any]]:
    """Return the next times of each schedule, without jitter."""
    ticks: list[dict[str, Any]] = []
    for trigger in function.config.triggers:
        if trigger.cron is not None:
            schedule, moments = parse_schedule(trigger.cron), [now]
            for _ in range(_TICKS):
                moments.append(schedule.next_after(moments[-1]))
            ticks.append({"cron": trigger.cron, "next": [to_rfc3339(moment) for moment in moments[1:]]})
    return ticks


def _function_object(function: Function, now: float) -> dict[str, Any]:
    return {
        "id": function.id,
        "slug": function.slug,
        "name": function.config.name,
        "appId": function.app_id,
        "version": function.version,
        "archived": function.archived,
        "paused": function.paused,
        "schedules": _next_ticks(function, now),
        "maxAttempts": function.config.max_attempts,
        "triggers": function.config.triggers,
        "config": function.config,
    }
