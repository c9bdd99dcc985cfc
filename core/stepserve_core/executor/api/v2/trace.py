"""`GET /v2/runs/{id}/trace`: what a run did, as a tree of spans, and as the list that our own tools read."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor.api.graphql.trace import trace_of
from stepserve_core.executor.api.http import executor_of
from stepserve_core.executor.api.reads import read_run_id, run_object
from stepserve_core.executor.api.v2.http import ApiError, answer, endpoint
from stepserve_core.executor.metadata import show
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.store.defers import Defer
from stepserve_core.executor.store.queue import BLOCKED, LEASED, READY, TIMERS, WAITING, Job
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.timeline import build_steps

_SPAN_FIELDS = {
    "spanID": "spanId",
    "parentSpanID": "parentSpanId",
    "name": "name",
    "status": "status",
    "stepID": "stepId",
    "stepOp": "stepOp",
    "stepType": "stepType",
    "attempts": "attempts",
    "queuedAt": "queuedAt",
    "startedAt": "startedAt",
    "endedAt": "endedAt",
    "duration": "durationMs",
    "outputID": "outputId",
    "isRoot": "isRoot",
}
"""Fields of a span in GraphQL, and here: the tree is the same (executor.md 13.4)."""

_STATES = {WAITING: "waiting", READY: "ready", LEASED: "called", BLOCKED: "held"}


@endpoint
async def get_trace(request: Request) -> Response:
    """`GET /v2/runs/{id}/trace`: the run with its steps and attempts; `rootSpan` is the tree of them (executor.md 1.6).

    `run`, `function`, `steps`, `defers`, `metadata` and `calls` are ours, with keys as in `/v1`, and outputs. `calls`
    are those of the app that are still to come: when each is due, whether it is held by a concurrency limit.
    """
    run_id = read_run_id(request)

    def unit(tables: Tables) -> tuple[RunRow | None, dict[str, Any]]:
        run, rows, attempts = tables.runs.get(run_id), tables.steps.rows(run_id), tables.steps.attempts(run_id)
        steps = build_steps(rows, attempts)
        _name_invoked_runs(tables, steps)
        metadata = show(tables.metadata.of_run(run_id), steps)
        defers = [_defer_object(defer) for defer in tables.defers.of_run(run_id)]
        calls = [_call_object(job) for job in tables.queue.of_run(run_id) if job.kind not in TIMERS]
        root = None if run is None else _span(trace_of(run, rows, attempts, folded=True))
        return run, {"rootSpan": root, "steps": steps, "defers": defers, "metadata": metadata, "calls": calls}

    run, parts = await executor_of(request).read(unit)
    if run is None:
        raise ApiError(404, "not_found", f"there is no run {run_id}")
    function = executor_of(request).registry.get(run.function_id)
    slug = function.slug if function is not None else run.function_id
    shown = {**run_object(run), "queued_at": to_rfc3339(run.queued_at), "event_name": run.event_name}
    shown["started_at"] = None if run.started_at is None else to_rfc3339(run.started_at)
    return answer(request, {"runId": run.id, "run": shown, "function": slug, **parts})


def _span(span: dict[str, Any]) -> dict[str, Any]:
    shown = {name: span[field] for field, name in _SPAN_FIELDS.items() if span[field] is not None}
    return {**shown, "children": [_span(child) for child in span["childrenSpans"]]}


def _name_invoked_runs(tables: Tables, steps: list[dict[str, Any]]) -> None:
    """Add to the steps that invoke functions the runs that these are."""
    for step in steps:
        event_id = step.get("detail", {}).get("event_id") if step["op"] == "InvokeFunction" else None
        started = tables.runs.of_event(event_id) if event_id else []
        if started:
            step["invoked_run_id"] = started[0].id


def _defer_object(defer: Defer) -> dict[str, Any]:
    return {"id": defer.hash, "name": defer.name, "function": defer.slug, "status": defer.status}


def _call_object(job: Job) -> dict[str, Any]:
    return {"step": job.step, "attempt": job.attempt, "due_at": to_rfc3339(job.at), "state": _STATES[job.state]}
