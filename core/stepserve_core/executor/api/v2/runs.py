"""Runs under `/v2`: lists, one run, cancelling it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import ids, limits
from stepserve_core.executor.api.http import executor_of, read_body
from stepserve_core.executor.api.v2.http import ApiError, answer, endpoint, read_flag, read_limit, read_moment
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.previews import preview
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.reruns import RerunRefusedError, read_arguments
from stepserve_core.executor.run_lists import cut_page, list_runs
from stepserve_core.executor.run_search import (
    STATUS_NAMES,
    TIME_FIELDS,
    Position,
    RunFilter,
    RunSearch,
    TimeField,
    read_cursor,
    read_statuses,
)
from stepserve_core.executor.store.run_pages import Found
from stepserve_core.executor.store.runs import RunRow

_PAGE, _LARGEST_PAGE = 20, 100


@endpoint
async def search_runs(request: Request) -> Response:
    """`GET /v2/runs` and `GET /v2/apps/{app}/functions/{function}/runs`.

    Query: `from`, `until` (dates), `timeField` (queued_at, started_at, ended_at), `status` (may repeat, or with
    commas), `appId`, `functionId`, `query` (expressions over event, output and error, one on each line), `order`
    (asc, desc), `cursor`, `limit` (20; at most 100), `includeOutput`, `includePreview` (a few fields of the event).
    """
    executor, query = executor_of(request), request.query_params
    limit = read_limit(request, _PAGE, _LARGEST_PAGE)
    cursor = query.get("cursor")
    names = [name for text in query.getlist("status") for name in text.split(",") if name]
    wanted = RunFilter(
        time_field=_time_field(query.get("timeField")),
        since=read_moment(request, "from"),
        until=read_moment(request, "until"),
        statuses=read_statuses(names),
        function_ids=_functions(request, executor.registry),
        newest_first=query.get("order", "desc").lower() != "asc",
    )
    search = RunSearch(query.get("query", ""))
    page = await list_runs(executor.read, wanted, search, read_cursor(cursor) if cursor else None, limit)
    with_output = read_flag(request, "includeOutput")
    runs = [run_object(found.run, executor.registry, with_output=with_output) for found in page.found]
    if read_flag(request, "includePreview"):
        for shown, found in zip(runs, page.found, strict=True):
            shown["trigger"]["preview"] = {} if found.run.cron else preview(found.event)
    return answer(request, runs, page, limit)


@endpoint
async def event_runs(request: Request) -> Response:
    """`GET /v2/events/{id}/runs`: the runs that an event started, the oldest first.

    Query: `cursor`, `limit` (20; at most 100), `includeOutput`.
    """
    executor, event_id = executor_of(request), request.path_params["id"]
    limit, cursor = read_limit(request, _PAGE, _LARGEST_PAGE), request.query_params.get("cursor")
    after = read_cursor(cursor).run_id if cursor else ""
    runs = await executor.read(lambda tables: tables.runs.of_event(event_id, after, limit + 1))
    page = cut_page([Found(run, b"", Position(run.queued_at, run.id)) for run in runs], limit)
    with_output = read_flag(request, "includeOutput")
    shown = [run_object(found.run, executor.registry, with_output=with_output) for found in page.found]
    return answer(request, shown, page, limit)


@endpoint
async def get_run(request: Request) -> Response:
    """`GET /v2/runs/{id}`."""
    return answer(request, run_object(await _run(request), executor_of(request).registry, with_output=True))


@endpoint
async def cancel_run(request: Request) -> Response:
    """`POST /v2/runs/{id}/cancel`: 409 where it has ended."""
    run = await _run(request)
    if not await executor_of(request).cancel(run.id):
        run = await _run(request)
        raise ApiError(409, "run_ended", f"the run has ended already, with the status {STATUS_NAMES[run.status]}")
    return answer(request, {"runId": run.id})


@endpoint
async def rerun(request: Request) -> Response:
    """`POST /v2/runs/{id}/rerun`: body empty, or `{"fromStep": {"stepId": hash or name, "input"?: […]}}`."""
    body = await read_body(request, limits.STEP_OUTPUT)
    try:
        wanted = msgspec.json.decode(body.strip() or b"{}", type=_Rerun).from_step
        given = None if wanted is None or not wanted.input else read_arguments(bytes(wanted.input))
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_request", f"the body cannot be read: {error}") from None
    run, step = await _run(request), None if wanted is None else wanted.step_id
    try:
        return answer(request, {"runId": await executor_of(request).rerun(run.id, step, given)})
    except RerunRefusedError as error:
        status = {"not_found": 404, "step_not_found": 404, "step_ambiguous": 400}.get(error.code, 422)
        raise ApiError(status, error.code, str(error)) from None


class _FromStep(msgspec.Struct, rename="camel"):
    step_id: str
    input: msgspec.Raw = msgspec.Raw(b"")


class _Rerun(msgspec.Struct, rename="camel"):
    from_step: _FromStep | None = None


def run_object(run: RunRow, registry: Registry, *, with_output: bool) -> dict[str, Any]:
    """Return a run as `/v2` shows it."""
    function = registry.get(run.function_id)
    shown: dict[str, Any] = {
        "id": run.id,
        "function": {"id": run.function_id, "slug": None if function is None else function.slug},
        "app": {"id": None if function is None else function.app_id},
        "status": STATUS_NAMES[run.status],
        "queuedAt": to_rfc3339(run.queued_at),
        "trigger": {"eventId": run.event_id, "eventName": run.event_name, "cron": run.cron, "batchId": run.batch_id},
    }
    if run.started_at is not None:
        shown["startedAt"] = to_rfc3339(run.started_at)
    if run.ended_at is not None:
        shown["endedAt"] = to_rfc3339(run.ended_at)
        shown["durationMs"] = round((run.ended_at - (run.started_at or run.queued_at)) * 1000)
    if run.original_run_id is not None:
        shown["originalRunId"] = run.original_run_id
    if with_output and run.output is not None:
        shown["output"] = msgspec.Raw(run.output)
    return shown


async def _run(request: Request) -> RunRow:
    run_id = request.path_params["id"]
    if not ids.is_ulid(run_id):
        raise ApiError(400, "invalid_request", f"{run_id[:40]!r} is not the id of a run")
    run = await executor_of(request).read(lambda tables: tables.runs.get(run_id))
    if run is None:
        raise ApiError(404, "not_found", f"there is no run {run_id}")
    return run


def _time_field(text: str | None) -> TimeField:
    name = (text or "QUEUED_AT").upper()
    if name not in TIME_FIELDS:
        raise ApiError(400, "invalid_request", f"timeField must be one of {', '.join(TIME_FIELDS)}")
    return TIME_FIELDS[name]


def _functions(request: Request, registry: Registry) -> tuple[str, ...] | None:
    """Return the ids of the functions that are asked for; None where none can match."""
    app = request.path_params.get("app") or request.query_params.get("appId")
    function = request.path_params.get("function") or request.query_params.get("functionId")
    if function and not app:
        raise ApiError(400, "invalid_request", "functionId needs appId")
    if not app:
        return ()
    wanted = [one for one in registry.all() if one.app_id in (app, ids.app_id(app))]
    if function:
        wanted = [one for one in wanted if function in (one.id, one.slug) or one.slug == f"{app}-{function}"]
    return tuple(one.id for one in wanted) or None
