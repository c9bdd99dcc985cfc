"""Looking things up: events, runs, timelines, and the state that apps fetch (executor.md 1.6)."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor import fragments, ids
from stepserve_core.executor.api.http import HttpError, envelope, executor_of, require_key
from stepserve_core.executor.calls import ACCOUNT_ID, ENVIRONMENT_ID
from stepserve_core.executor.claims import edited_memo
from stepserve_core.executor.endings import trigger_bodies
from stepserve_core.executor.events import Event
from stepserve_core.executor.moments import parse_date, to_rfc3339
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.tables import Tables

_WINDOW = datetime.timedelta(hours=1).total_seconds()
_DEFAULT_LIMIT, _LARGEST_LIMIT = 20, 51


async def list_events(request: Request) -> Response:
    """`GET /v1/events`: by default those of the last hour, the newest first."""
    require_key(request)
    query = request.query_params
    now = executor_of(request).clock.now()
    after = ids.first_id(_moment(query.get("received_after"), now - _WINDOW))
    before = ids.first_id(_moment(query.get("received_before"), now + 1))
    cursor = query.get("cursor") or before
    if not ids.is_ulid(cursor):
        raise HttpError(400, f"cursor must be the internal id of an event, not {cursor[:60]!r}")
    limit = min(max(_number(query.get("limit")), 1), _LARGEST_LIMIT)
    name = query.get("name") or None
    events = await executor_of(request).read(
        lambda tables: tables.events.search(after, min(before, cursor), name, limit)
    )
    return envelope(request, [_event_object(event) for event in events])


async def get_event(request: Request) -> Response:
    """`GET /v1/events/{id}`."""
    require_key(request)
    event = await executor_of(request).read(lambda tables: tables.events.get(request.path_params["id"]))
    if event is None:
        raise HttpError(404, "Event not found")
    return envelope(request, _event_object(event))


async def list_event_runs(request: Request) -> Response:
    """`GET /v1/events/{id}/runs`."""
    require_key(request)
    runs = await executor_of(request).read(lambda tables: tables.runs.of_event(request.path_params["id"]))
    return envelope(request, [run_object(run) for run in runs])


async def get_run(request: Request) -> Response:
    """`GET /v1/runs/{id}`."""
    require_key(request)
    run_id = read_run_id(request)
    run = await executor_of(request).read(lambda tables: tables.runs.get(run_id))
    if run is None:
        raise HttpError(404, "Run not found")
    return envelope(request, run_object(run))


async def list_jobs(request: Request) -> Response:
    """`GET /v1/runs/{id}/jobs`: what is queued for a run, the first due first; `position` is the place in this list."""
    require_key(request)
    run_id = read_run_id(request)
    run, jobs = await executor_of(request).read(lambda tables: (tables.runs.get(run_id), tables.queue.of_run(run_id)))
    if run is None:
        raise HttpError(404, "Run not found")
    listed = [
        {
            "JobID": job.id,
            "at": to_rfc3339(job.at),
            "position": position,
            "kind": job.kind,
            "attempt": job.attempt,
            "Raw": None,
        }
        for position, job in enumerate(jobs)
    ]
    return envelope(request, listed)


async def cancel_run(request: Request) -> Response:
    """`DELETE /v1/runs/{id}`: cancel it. A run that has ended cannot be cancelled, and that is said."""
    require_key(request)
    run_id = read_run_id(request)
    executor = executor_of(request)
    if await executor.cancel(run_id):
        return Response(status_code=200)
    run = await executor.read(lambda tables: tables.runs.get(run_id))
    if run is None:
        raise HttpError(404, "Run not found")
    raise HttpError(409, f"the run has ended already, with the status {run.status}")


async def cancel_run_silently(request: Request) -> Response:
    """`DELETE /v0/runs/{id}`: the same, with an answer of 204."""
    await cancel_run(request)
    return Response(status_code=204)


async def get_batch(request: Request) -> Response:
    """`GET /v0/runs/{id}/batch`: the trigger events, for an app that was told to fetch them."""
    return await _state(request, _batch)


async def get_actions(request: Request) -> Response:
    """`GET /v0/runs/{id}/actions`: the memos, for an app that was told to fetch them."""
    return await _state(request, _actions)


async def _state(request: Request, unit: Callable[[Tables, str], bytes | None]) -> Response:
    require_key(request)
    run_id = read_run_id(request)
    body = await executor_of(request).read(lambda tables: unit(tables, run_id))
    if body is None:
        raise HttpError(410, f"runtime state is no longer available for runID: {run_id}")
    return Response(body, media_type="application/json")


def _batch(tables: Tables, run_id: str) -> bytes | None:
    run = tables.runs.facts(run_id)
    return None if run is None else fragments.join_array(trigger_bodies(tables, run))


def _actions(tables: Tables, run_id: str) -> bytes | None:
    run = tables.runs.facts(run_id)
    if run is None:
        return None
    memos = tables.steps.memos(run_id)
    finished = {step: memo for step, memo, _ in memos}
    return fragments.join_object({**finished, **dict(edited_memo(run, finished))})


def read_run_id(request: Request) -> str:
    """Return the run that a path names.

    Raises:
        HttpError: 400, that is not the id of a run.
    """
    run_id: str = request.path_params["id"]
    if not ids.is_ulid(run_id):
        raise HttpError(400, "The run ID specified is invalid")
    return run_id


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else _DEFAULT_LIMIT


def _moment(text: str | None, default: float) -> float:
    if not text:
        return default
    try:
        return parse_date(text)
    except ValueError:
        raise HttpError(400, f"{text!r} is not a date; write it as 2024-01-02T03:04:05Z") from None


def _event_object(event: Event) -> dict[str, Any]:
    return {
        **msgspec.json.decode(event.body, type=dict[str, msgspec.Raw]),
        "internal_id": event.internal_id,
        "account_id": ACCOUNT_ID,
        "environment_id": ENVIRONMENT_ID,
        "source": "",
        "source_id": None,
        "received_at": to_rfc3339(event.received_at),
    }


def run_object(run: RunRow) -> dict[str, Any]:
    """Return a run as `/v1` shows it."""
    return {
        "run_id": run.id,
        "run_started_at": to_rfc3339(run.queued_at if run.started_at is None else run.started_at),
        "function_id": run.function_id,
        "function_version": run.function_version,
        "environment_id": ENVIRONMENT_ID,
        "event_id": run.event_id,
        "batch_id": run.batch_id,
        "original_run_id": run.original_run_id,
        "cron": run.cron,
        "status": run.status,
        "ended_at": None if run.ended_at is None else to_rfc3339(run.ended_at),
        "output": None if run.output is None else msgspec.Raw(run.output),
        "skip_reason": run.skip_reason,
        "skip_existing_run_id": run.skip_existing_run_id,
    }
