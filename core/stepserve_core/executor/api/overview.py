"""`GET /v1/overview`: throughput, failures, the queue (executor.md 12 has no such page; it is ours)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.executor.api.http import HttpError, access_of, envelope, executor_of, require_key
from stepserve_core.executor.moments import to_rfc3339
from stepserve_core.executor.store.overview import Ended, Failing, Waiter
from stepserve_core.executor.store.tables import Tables

_INTERVALS = 60
_LONGEST = 24 * 60
"""Minutes that an overview may cover."""


class _Figures(NamedTuple):
    series: list[tuple[Ended, int]]
    failing: list[Failing]
    active: dict[str, int]
    queue: dict[str, int]
    first: Waiter | None


async def get_overview(request: Request) -> Response:
    """`GET /v1/overview?minutes=60`: what happened in the last minutes, in 60 intervals, and what waits now."""
    require_key(request)
    minutes = _minutes(request.query_params.get("minutes"))
    executor = executor_of(request)
    now = executor.clock.now()
    interval = minutes * 60 / _INTERVALS
    # Intervals begin at round moments, so that a figure belongs to the same one whenever somebody looks.
    since = (now // interval - _INTERVALS + 1) * interval

    def unit(tables: Tables) -> _Figures:
        shown = tables.overview
        return _Figures(
            [(shown.ended(*between), shown.started(*between)) for between in _intervals(since, interval)],
            shown.failing(since),
            shown.active(),
            shown.queue(),
            shown.first_waiting(),
        )

    figures = await executor.read(unit)
    slugs = {one.id: one.slug for one in executor.registry.all()}
    return envelope(
        request,
        {
            "kind": access_of(request).kind,
            "minutes": minutes,
            "interval": interval,
            "throughput": _series(figures, since, interval),
            "active": figures.active,
            "queue": figures.queue,
            "firstWaiting": None if figures.first is None else _waiter(figures.first, slugs, now),
            "failing": [
                {
                    "function": slugs.get(one.function_id, one.function_id),
                    "failed": one.failed,
                    "lastAt": to_rfc3339(one.last_at),
                    "lastRunId": one.last_run_id,
                }
                for one in figures.failing
            ],
        },
    )


def _intervals(since: float, interval: float) -> list[tuple[float, float]]:
    return [(since + number * interval, since + (number + 1) * interval) for number in range(_INTERVALS)]


def _series(figures: _Figures, since: float, interval: float) -> list[dict[str, Any]]:
    return [
        {"at": to_rfc3339(since + number * interval), "queued": started, **msgspec.structs.asdict(ended)}
        for number, (ended, started) in enumerate(figures.series)
    ]


def _waiter(waiter: Waiter, slugs: dict[str, str], now: float) -> dict[str, Any]:
    return {
        "runId": waiter.run_id,
        "function": slugs.get(waiter.function_id, waiter.function_id),
        "since": to_rfc3339(waiter.since),
        "seconds": round(max(now - waiter.since, 0.0), 3),
    }


def _minutes(text: str | None) -> int:
    if text is None:
        return _INTERVALS
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _LONGEST):
        raise HttpError(400, f"minutes must be a number from 1 to {_LONGEST}, not {text[:20]!r}")
    return int(text)
