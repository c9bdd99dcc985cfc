"""`GET /metrics`: figures for Prometheus, in its text format (executor.md 1.6).

All of them are read when they are asked for: most are what the overview shows, of the last minute where it counts runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._version import VERSION
from stepserve_core.executor.api.http import executor_of, require_key
from stepserve_core.executor.store.tables import Tables

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_WINDOW = 60.0
"""Seconds that figures about runs cover. Totals since ever would be counted anew each time, and shrink by retention."""


class Metric(NamedTuple):
    """A figure, or several that differ by the value of one label. `kind` is gauge or counter."""

    name: str
    text: str
    figures: Mapping[str, float]
    label: str = ""
    kind: str = "gauge"


async def get_metrics(request: Request) -> Response:
    """`GET /metrics`: runs, the queue, apps, workers and processor time as text for Prometheus."""
    require_key(request)
    executor = executor_of(request)
    now = executor.clock.now()
    metrics = await executor.read(lambda tables: _stored(tables, now))
    metrics += [
        Metric("stepserve_functions", "Functions that are not archived.", {"": len(executor.registry)}),
        Metric("stepserve_workers", "Workers that are connected.", {"": len(executor.workers.all())}),
        Metric("stepserve_build_info", "The version of the server.", {VERSION: 1}, "version"),
        Metric(
            "process_cpu_seconds_total",
            "Processor time that the process has used, in seconds.",
            {"": time.process_time()},
            kind="counter",
        ),
    ]
    return Response(write_metrics(metrics), media_type=CONTENT_TYPE)


def _stored(tables: Tables, now: float) -> list[Metric]:
    """Read what the database knows: counts in indexes, as the overview makes them."""
    overview, since = tables.overview, now - _WINDOW
    first, apps = overview.first_waiting(), tables.apps.all()
    failed = sum(app.error is not None for app in apps)
    oldest = 0.0 if first is None else max(now - first.since, 0.0)
    return [
        Metric("stepserve_runs_active", "Runs that have not ended.", overview.active(), "status"),
        Metric(
            "stepserve_runs_ended_last_minute",
            "Runs that ended in the last 60 seconds.",
            msgspec.structs.asdict(overview.ended(since, now)),
            "status",
        ),
        Metric(
            "stepserve_runs_queued_last_minute",
            "Runs that were queued in the last 60 seconds.",
            {"": overview.started(since, now)},
        ),
        Metric("stepserve_queue_items", "Calls and timers that are queued or under way.", overview.queue(), "state"),
        Metric("stepserve_queue_oldest_seconds", "Seconds that the first ready call has waited.", {"": oldest}),
        Metric("stepserve_apps", "Apps by their last sync.", {"ok": len(apps) - failed, "error": failed}, "sync"),
    ]


def write_metrics(metrics: list[Metric]) -> bytes:
    """Return metrics as Prometheus reads them. Values of labels are our own words: nothing needs escaping."""
    lines: list[str] = []
    for one in metrics:
        lines += [f"# HELP {one.name} {one.text}", f"# TYPE {one.name} {one.kind}"]
        for value, figure in one.figures.items():
            label = f'{{{one.label}="{value}"}}' if one.label else ""
            lines.append(f"{one.name}{label} {figure:.12g}")
    return ("\n".join(lines) + "\n").encode()
