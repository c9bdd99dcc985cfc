"""Batches of events, open ones and those of runs (executor.md 7.6)."""

from __future__ import annotations

import sqlite3

from stepserve_core.executor.events import Event


class Batches:
    """Statements about batches."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def find_open(self, function_id: str, key: str) -> str | None:
        """Return the id of the batch that takes events of a key."""
        row = self._execute(
            "SELECT id FROM batches WHERE function_id = ? AND key = ? AND run_id IS NULL", (function_id, key)
        ).fetchone()
        return None if row is None else row[0]

    def open(self, batch_id: str, function_id: str, key: str) -> None:
        """Open a batch."""
        self._execute("INSERT INTO batches (id, function_id, key) VALUES (?, ?, ?)", (batch_id, function_id, key))

    def knows(self, function_id: str, internal_id: str, since: float) -> bool:
        """Say whether an event was put into a batch of a function after the moment `since`."""
        row = self._execute(
            "SELECT 1 FROM batch_events WHERE internal_id = ? AND function_id = ? AND added_at > ?",
            (internal_id, function_id, since),
        ).fetchone()
        return row is not None

    def append(self, batch_id: str, seq: int, event: Event, function_id: str, now: float) -> tuple[int, int]:
        """Add an event to a batch; return how many events and bytes it has now."""
        self._execute(
            "INSERT INTO batch_events (batch_id, event_seq, function_id, internal_id, added_at) VALUES (?, ?, ?, ?, ?)",
            (batch_id, seq, function_id, event.internal_id, now),
        )
        row = self._execute(
            "UPDATE batches SET events = events + 1, size = size + ? WHERE id = ? RETURNING events, size",
            (len(event.body), batch_id),
        ).fetchone()
        return row[0], row[1]

    def close(self, batch_id: str, run_id: str) -> None:
        """Give a batch to its run; the next event of its key opens another one."""
        self._execute("UPDATE batches SET run_id = ? WHERE id = ?", (run_id, batch_id))

    def first(self, batch_id: str) -> int | None:
        """Return the number of the first event of an open batch; None where it has been started."""
        row = self._execute(
            "SELECT min(e.event_seq) FROM batches b JOIN batch_events e ON e.batch_id = b.id"
            " WHERE b.id = ? AND b.run_id IS NULL",
            (batch_id,),
        ).fetchone()
        return None if row is None else row[0]

    def remove(self, batch_id: str) -> None:
        """Forget a batch that no run has, with what it collected."""
        self._execute("DELETE FROM batch_events WHERE batch_id = ?", (batch_id,))
        self._execute("DELETE FROM batches WHERE id = ?", (batch_id,))

    def bodies(self, batch_id: str) -> list[bytes]:
        """Return the canonical JSON of the events of a batch, in the order in which they came."""
        rows = self._execute(
            "SELECT e.body FROM batch_events b JOIN events e ON e.seq = b.event_seq WHERE b.batch_id = ?"
            " ORDER BY b.event_seq",
            (batch_id,),
        )
        return [row[0] for row in rows]
