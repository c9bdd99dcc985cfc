"""Deleting what is old: ended runs with everything of theirs, then events that nothing needs any more.

Rows are looked at in order of age, so many at a time: how much one piece costs does not depend on how much is stored
or how much of it must stay.
"""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

_OF_RUN = "EXISTS (SELECT 1 FROM runs r WHERE r.event_seq = e.seq)"
_OF_BATCH = "(SELECT max(b.run_id IS NULL) FROM batch_events m JOIN batches b ON b.id = m.batch_id"
_EVENT = f"SELECT seq, received_at, {_OF_RUN}, {_OF_BATCH} WHERE m.internal_id = e.internal_id) FROM events e"


class Swept(msgspec.Struct):
    """What a piece did. `waiting` are numbers of events to look at again: too new, or kept by something but a run."""

    runs: int = 0
    events: int = 0
    waiting: list[int] = []
    cursor: int | None = None


class Retention:
    """Statements that delete. `kept` are the numbers of events that debounces under way need."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def delete_runs(self, before: float, kept: frozenset[int], limit: int) -> Swept:
        """Delete up to `limit` runs that ended before a moment, the oldest first, and their events that are old."""
        rows = self._execute(
            "SELECT id, event_seq, batch_id FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT ?", (before, limit)
        ).fetchall()
        swept = Swept(runs=len(rows))
        events: dict[int, None] = {}
        for run_id, event_seq, batch_id in rows:
            events[event_seq] = None
            events.update(dict.fromkeys(self._delete_run(run_id, batch_id)))
        self._delete_events(swept, self._look_at(events), before, kept)
        return swept

    def _delete_run(self, run_id: str, batch_id: str | None) -> list[int]:
        """Delete a run; return the numbers of the events of its batch."""
        for table in ("steps", "attempts", "defers", "metadata"):
            self._execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))
        events: list[int] = []
        if batch_id is not None:
            deleted = self._execute("DELETE FROM batch_events WHERE batch_id = ? RETURNING event_seq", (batch_id,))
            events = [row[0] for row in deleted.fetchall()]
            self._execute("DELETE FROM batches WHERE id = ?", (batch_id,))
        self._execute("DELETE FROM runs WHERE id = ?", (run_id,))
        return events

    def delete_events(self, after: int, before: float, kept: frozenset[int], limit: int) -> Swept:
        """Look at the next `limit` events after number `after`; delete those that no run, batch or debounce needs.

        An event of a run goes with the last of its runs. `cursor` is the last event that need not be looked at again;
        None where there was none that is old enough.
        """
        rows = self._execute(f"{_EVENT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)).fetchall()
        # A clock that went back leaves newer events among the old ones.
        last = max((seq for seq, received_at, *_ in rows if received_at < before), default=None)
        swept = Swept(cursor=last)
        if last is not None:
            self._delete_events(swept, (row for row in rows if row[0] <= last), before, kept)
        return swept

    def delete_waiting(self, numbers: list[int], before: float, kept: frozenset[int]) -> Swept:
        """Look at events again."""
        swept = Swept()
        self._delete_events(swept, self._look_at(numbers), before, kept)
        return swept

    def _look_at(self, numbers: Iterable[int]) -> list[tuple[int, float, int, int | None]]:
        found = (self._execute(f"{_EVENT} WHERE seq = ?", (number,)).fetchone() for number in numbers)
        return [row for row in found if row is not None]

    def _delete_events(
        self,
        swept: Swept,
        rows: Iterable[tuple[int, float, int, int | None]],
        before: float,
        kept: frozenset[int],
    ) -> None:
        for seq, received_at, of_run, of_batch in rows:
            if received_at >= before or seq in kept or of_batch == 1:
                swept.waiting.append(seq)
            elif not of_run and of_batch is None:
                self._execute("DELETE FROM events WHERE seq = ?", (seq,))
                swept.events += 1

    def delete_cancellations(self, before: float) -> None:
        """Delete the bulk cancellations that ended before a moment."""
        self._execute("DELETE FROM cancellations WHERE finished_at < ?", (before,))

    def debounced(self) -> list[bytes]:
        """Return what the debounces under way carry; they need their events."""
        rows = self._execute("SELECT payload FROM queue WHERE id >= 'debounce:' AND id < 'debounce;'")
        return [row[0] for row in rows]
