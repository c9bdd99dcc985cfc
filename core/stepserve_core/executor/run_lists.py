"""Lists of runs, page by page, also where expressions decide which runs belong to them, or no index finds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stepserve_core.executor.run_search import Position, RunFilter, RunSearch
from stepserve_core.executor.store.run_pages import Found
from stepserve_core.executor.store.tables import Tables

Read = Callable[[Callable[[Tables], list[Found]]], Awaitable[list[Found]]]

_AT_ONCE = 200
MOST_SCANNED = 20_000
"""Runs that one page looks at where it has to pass over some; then it may be short, or empty, and has a next page."""


class RunPage(NamedTuple):
    """Runs, and where the next page begins after; None where there is none."""

    found: list[Found]
    next: Position | None


async def list_runs(read: Read, wanted: RunFilter, search: RunSearch, after: Position | None, limit: int) -> RunPage:
    """Return a page of at most `limit` runs."""
    if not search and wanted.is_ranged:
        found = await read(lambda tables: tables.run_pages.page(wanted, after, limit + 1))
        return cut_page(found, limit)
    kept: list[Found] = []
    for _ in range(MOST_SCANNED // _AT_ONCE):
        start = after
        scanned = await read(lambda tables: tables.run_pages.page(wanted, start, _AT_ONCE))  # noqa: B023 - used at once
        kept += [one for one in scanned if wanted.admits(one.run.status, one.run.function_id) and _matches(search, one)]
        if len(kept) > limit or len(scanned) < _AT_ONCE:
            return cut_page(kept, limit)
        after = scanned[-1].position
    return RunPage(kept, after)


def _matches(search: RunSearch, one: Found) -> bool:
    return not search or search.matches(one.event, one.run.output, one.run.status)


def cut_page(found: list[Found], limit: int) -> RunPage:
    """Return a page of `limit` runs of those that were found, one more than that where there are more."""
    more = len(found) > limit
    kept = found[:limit]
    return RunPage(kept, kept[-1].position if more else None)
