"""Lists of runs, page by page, also where expressions decide which runs belong to them, or no index finds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from stepserve_core.executor.run_search import Position, RunFilter, RunSearch
from stepserve_core.executor.store.run_pages import Found
from stepserve_core.executor.store.tables import Tables

T = TypeVar("T")


class Read(Protocol):
    """Runs a unit that only reads."""

    def __call__(self, unit: Callable[[Tables], T], /) -> Awaitable[T]:
        """Return what the unit does."""
        ...


_AT_ONCE = 500
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
        scan = await read(lambda tables: tables.run_pages.scan(wanted, start, _AT_ONCE, search.fragments))  # noqa: B023 - used at once
        kept += [one for one in scan.found if _belongs(wanted, search, one)]
        if len(kept) > limit or scan.last is None:
            return cut_page(kept, limit)
        after = scan.last
    return RunPage(kept, after)


def _belongs(wanted: RunFilter, search: RunSearch, one: Found) -> bool:
    if not wanted.admits(one.run.status, one.run.function_id):
        return False
    return not search or search.matches(one.event, one.run.output, one.run.status)


def cut_page(found: list[Found], limit: int) -> RunPage:
    """Return a page of `limit` runs of those that were found, one more than that where there are more."""
    more = len(found) > limit
    kept = found[:limit]
    return RunPage(kept, kept[-1].position if more else None)
