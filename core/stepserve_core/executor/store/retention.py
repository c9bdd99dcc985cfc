"""Deleting what is old: ended runs with everything of theirs, then events that nothing needs any more.

Rows are looked at in order of age, so many at a time: how much one piece costs does not depend on how much is stored
or how much of it must stay.
"""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3


class Retention:
    """Statements that delete."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def delete_runs(self, ended_before: float, limit: int) -> int:
        """Delete up to `limit` runs that ended before a moment, the oldest first; return how many."""
        rows = self._execute(
            "SELECT id, batch_id FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT ?", (ended_before, limit)
        ).fetchall()
        for run_id, batch_id in rows:
            self._delete_run(run_id, batch_id)
        return len(rows)

    def _delete_run(self, run_id: str, batch_id: str | None) -> None:
        for table in ("steps", "attempts", "defers", "metadata"):
            self._execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
        if batch_id is not None:
            self._execute("DELETE FROM batch_events WHERE batch_id = ?", (batch_id,))
            self._execute("DELETE FROM batches WHERE id = ?", (batch_id,))
        self._execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def delete_events(
        self, after: int, received_before: float, kept: frozenset[int], limit: int
    ) -> tuple[int | None, int]:
        """Look at the next `limit` events after number `after`; delete those that no run, batch or `kept` needs.

        Return the last one looked at, None where there was none that is old enough, and how many were deleted.
        """
        rows = self._execute(
            "SELECT seq, EXISTS (SELECT 1 FROM runs r WHERE r.event_seq = e.seq)"
            " OR EXISTS (SELECT 1 FROM batch_events b WHERE b.internal_id = e.internal_id), received_at"
            " FROM events e WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        ).fetchall()
        old = [row for row in rows if row[2] < received_before]
        unneeded = [(seq,) for seq, needed, _ in old if not needed and seq not in kept]
        for seq in unneeded:
            self._execute("DELETE FROM events WHERE seq = ?", seq)
        return (old[-1][0] if old else None), len(unneeded)

    def debounced(self) -> list[bytes]:
        """Return what the debounces under way carry; they need their events."""
        rows = self._execute("SELECT payload FROM queue WHERE id >= 'debounce:' AND id < 'debounce;'")
        return [row[0] for row in rows]
