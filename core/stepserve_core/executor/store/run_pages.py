"""Pages of runs by status, function and time: seeks in indexes, however many runs are stored.

In the order of `queued_at` every status, and every function with a status, is a range of its own in an index: a page
takes as many runs from each range as it is long and merges them. Only that order has such indexes. In the orders of
`started_at` and `ended_at`, runs of other functions and statuses are passed over, so many at a time.
"""

# ruff: noqa: S608 - statements are put together from constants of this package only

from __future__ import annotations

import heapq
import itertools
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stepserve_core.executor.run_search import STATUSES, Position, RunFilter
from stepserve_core.executor.store.runs import ROW_COLUMNS, RunRow, to_row

COUNTED = 100_000
"""Where counting ends: more runs than these are not told apart."""

_ALL_STATUSES = tuple(STATUSES.values())


class Found(NamedTuple):
    """A run of a page, with its event and its place in the order."""

    run: RunRow
    event: bytes
    position: Position


class Scan(NamedTuple):
    """What was found among some runs, and the last one that was looked at; None where there are no more."""

    found: list[Found]
    last: Position | None


class Range(NamedTuple):
    """Runs that follow each other in an index, and the values that find them."""

    terms: str
    values: tuple[object, ...]


class RunPages:
    """Statements about many runs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def page(self, wanted: RunFilter, after: Position | None, limit: int) -> list[Found]:
        """Return the runs that follow `after` in the order of the filter.

        In orders that pass over runs (see `is_ranged`) these count too: some of those returned may be unwanted.
        """
        return self._load(self._next(wanted, after, limit), ())

    def scan(self, wanted: RunFilter, after: Position | None, limit: int, fragments: Sequence[bytes]) -> Scan:
        """Look at the next `limit` runs, as `page` does, and return those whose events have all of `fragments`."""
        positions = self._next(wanted, after, limit)
        return Scan(self._load(positions, fragments), positions[-1] if len(positions) == limit else None)

    def _next(self, wanted: RunFilter, after: Position | None, limit: int) -> list[Position]:
        ranges = [self._positions(wanted, part, after, limit) for part in _ranges(wanted)]
        merged = heapq.merge(*ranges, reverse=wanted.newest_first)
        return [Position(*position) for position in itertools.islice(merged, limit)]

    def _load(self, positions: list[Position], fragments: Sequence[bytes]) -> list[Found]:
        rows = self._rows([position.run_id for position in positions], fragments)
        return [Found(*rows[position.run_id], position) for position in positions if position.run_id in rows]

    def _positions(self, wanted: RunFilter, part: Range, after: Position | None, limit: int) -> list[tuple[float, str]]:
        field, terms, values = wanted.time_field, part.terms, list(part.values)
        if after is not None:
            terms += f" AND ({field}, id) {'<' if wanted.newest_first else '>'} (?, ?)"
            values += [after.moment, after.run_id]
        way = "DESC" if wanted.newest_first else "ASC"
        return self._execute(
            f"SELECT {field}, id FROM runs WHERE {terms} ORDER BY {field} {way}, id {way} LIMIT ?", (*values, limit)
        ).fetchall()

    def _rows(self, run_ids: list[str], fragments: Sequence[bytes]) -> dict[str, tuple[RunRow, bytes]]:
        """Return runs and the bodies of their events, by id."""
        if not run_ids:
            return {}
        terms = "".join(" AND instr(e.body, ?)" for _ in fragments)
        rows = self._execute(
            f"SELECT {ROW_COLUMNS}, e.body FROM runs r JOIN events e ON e.seq = r.event_seq"
            f" WHERE r.id IN ({', '.join('?' * len(run_ids))}){terms}",
            [*run_ids, *fragments],
        )
        return {row[0]: (to_row(row[:-1]), row[-1]) for row in rows}

    def count(self, wanted: RunFilter) -> int:
        """Return how many runs there are, `COUNTED` where there are more.

        In orders that pass over runs, only the first `COUNTED` of the order are looked at.
        """
        total = 0
        for part in _ranges(wanted):
            inner = f"SELECT {'1' if wanted.is_ranged else 'status, function_id'} FROM runs WHERE {part.terms} LIMIT ?"
            where, values = ("1", ()) if wanted.is_ranged else _admitted(wanted)
            counted = self._execute(
                f"SELECT count(*) FROM ({inner}) WHERE {where}", (*part.values, COUNTED - total, *values)
            )
            total += counted.fetchone()[0]
        return total


def _ranges(wanted: RunFilter) -> list[Range]:
    if wanted.function_ids is None:
        return []
    terms, values = _window(wanted)
    if not wanted.is_ranged or not (wanted.statuses or wanted.function_ids):
        return [Range(terms, values)]
    statuses = wanted.statuses or _ALL_STATUSES
    if not wanted.function_ids:
        return [Range(f"status = ? AND {terms}", (status, *values)) for status in statuses]
    both: Iterable[tuple[str, str]] = itertools.product(wanted.function_ids, statuses)
    return [Range(f"function_id = ? AND status = ? AND {terms}", (*pair, *values)) for pair in both]


def _window(wanted: RunFilter) -> tuple[str, tuple[object, ...]]:
    terms = [f"{wanted.time_field} IS NOT NULL"]
    bounds = ((wanted.since, ">="), (wanted.until, "<"))
    terms += [f"{wanted.time_field} {comparison} ?" for bound, comparison in bounds if bound is not None]
    return " AND ".join(terms), tuple(bound for bound, _ in bounds if bound is not None)


def _admitted(wanted: RunFilter) -> tuple[str, tuple[str, ...]]:
    """Return the condition that `RunFilter.admits` is."""
    columns = {"status": wanted.statuses, "function_id": wanted.function_ids or ()}
    terms = [f"{name} IN ({', '.join('?' * len(values))})" for name, values in columns.items() if values]
    return " AND ".join(terms), tuple(itertools.chain(*columns.values()))
