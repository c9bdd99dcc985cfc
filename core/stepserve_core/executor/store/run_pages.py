"""Pages of runs by status, function and time: one seek in an index, however many runs are stored."""

# ruff: noqa: S608 - statements are put together from constants of this package only

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from stepserve_core.executor.run_search import Position, RunFilter
from stepserve_core.executor.store.runs import ROW_COLUMNS, RunRow, to_row


class Found(NamedTuple):
    """A run of a page, with its event and its place in the order."""

    run: RunRow
    event: bytes
    position: Position


class RunPages:
    """Statements about many runs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def page(self, wanted: RunFilter, after: Position | None, limit: int) -> list[Found]:
        """Return the runs that follow `after` in the order of the filter."""
        if wanted.function_ids is None:
            return []
        moment = f"r.{wanted.time_field}"
        terms, values = _terms(wanted)
        if after is not None:
            terms.append(f"({moment}, r.id) {'<' if wanted.newest_first else '>'} (?, ?)")
            values += [after.moment, after.run_id]
        way = "DESC" if wanted.newest_first else "ASC"
        rows = self._execute(
            f"SELECT {ROW_COLUMNS}, e.body, {moment} FROM runs r JOIN events e ON e.seq = r.event_seq"
            f" WHERE {' AND '.join(terms)} ORDER BY {moment} {way}, r.id {way} LIMIT ?",
            (*values, limit),
        )
        return [Found(to_row(row[:-2]), row[-2], Position(row[-1], row[0])) for row in rows]

    def count(self, wanted: RunFilter) -> int:
        """Return how many runs there are."""
        if wanted.function_ids is None:
            return 0
        terms, values = _terms(wanted)
        count: int = self._execute(f"SELECT count(*) FROM runs r WHERE {' AND '.join(terms)}", values).fetchone()[0]
        return count


def _terms(wanted: RunFilter) -> tuple[list[str], list[object]]:
    moment = f"r.{wanted.time_field}"
    terms = [f"{moment} IS NOT NULL"]
    values: list[object] = []
    if wanted.since is not None:
        terms.append(f"{moment} >= ?")
        values.append(wanted.since)
    if wanted.until is not None:
        terms.append(f"{moment} < ?")
        values.append(wanted.until)
    if wanted.statuses:
        terms.append(f"r.status IN ({_marks(wanted.statuses)})")
        values += wanted.statuses
        # Partial indexes are used where their own condition stands in the statement, word for word.
        if {"Failed", "Cancelled"}.issuperset(wanted.statuses):
            terms.append("r.status IN ('Failed', 'Cancelled')")
        elif {"Scheduled", "Running"}.issuperset(wanted.statuses):
            terms.append("r.ended_at IS NULL")
    if wanted.function_ids:
        terms.append(f"r.function_id IN ({_marks(wanted.function_ids)})")
        values += wanted.function_ids
    return terms, values


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
