"""Bulk cancellations: which runs they cancel, and how far they have come (executor.md 7.9)."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3

import msgspec


class Cancellation(msgspec.Struct, frozen=True):
    """A bulk cancellation of the runs of a function whose ids lie from `after` to `before`.

    `cursor` is the last run that was looked at, `cancelled` how many were cancelled; `finished_at` is set at its end.
    """

    id: str
    function_id: str
    started_after: float | None
    started_before: float
    expression: str | None
    created_at: float
    cursor: str
    before: str
    cancelled: int = 0
    finished_at: float | None = None


_COLUMNS = (
    "id, function_id, started_after, started_before, expression, created_at, cursor, before, cancelled, finished_at"
)


class Cancellations:
    """Statements about bulk cancellations."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def put(self, cancellation: Cancellation) -> None:
        """Store a cancellation, or replace it."""
        self._execute(
            f"INSERT OR REPLACE INTO cancellations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(cancellation),
        )

    def get(self, cancellation_id: str) -> Cancellation | None:
        """Return a cancellation."""
        row = self._execute(f"SELECT {_COLUMNS} FROM cancellations WHERE id = ?", (cancellation_id,)).fetchone()
        return None if row is None else Cancellation(*row)

    def newest(self, limit: int) -> list[Cancellation]:
        """Return the newest cancellations, the newest first."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM cancellations ORDER BY id DESC LIMIT ?", (limit,))
        return [Cancellation(*row) for row in rows]

    def remove(self, cancellation_id: str) -> bool:
        """Remove a cancellation. Return False where there is none."""
        return self._execute("DELETE FROM cancellations WHERE id = ?", (cancellation_id,)).rowcount > 0
