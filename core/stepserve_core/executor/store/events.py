"""Stored events. Two rows may share an internal id: a resend with the same seed is stored again (executor.md 2.3)."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import heapq
import itertools
import sqlite3

from stepserve_core.executor.events import Event
from stepserve_core.executor.store.changes import Changes

_COLUMNS = "internal_id, external_id, name, ts, body, received_at"
_OWN = "inngest/"
_NOT_OWN = "(name < 'inngest/' OR name >= 'inngest0')"
"""Word for word the condition of the index `events_users`."""


COUNTED = 100_000
"""Where counting ends: more events than these are not told apart."""


class Events:
    """Statements about events."""

    def __init__(self, connection: sqlite3.Connection, changes: Changes) -> None:
        self._execute = connection.execute
        self._changes = changes

    def add(self, event: Event) -> int:
        """Store an event and return its number, which grows with each one."""
        self._changes.events = True
        added = self._execute(
            f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            (event.internal_id, event.id, event.name, event.ts, event.body, event.received_at),
        )
        return added.lastrowid or 0

    def last(self) -> int:
        """Return the number of the newest event."""
        row = self._execute("SELECT seq FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return 0 if row is None else row[0]

    def is_copy(self, internal_id: str, seq: int) -> bool:
        """Say whether an event came before under the same internal id: it was sent again, with its seed."""
        earlier = "SELECT 1 FROM events WHERE internal_id = ? AND seq < ? LIMIT 1"
        return self._execute(earlier, (internal_id, seq)).fetchone() is not None

    def since(self, name: str, seq: int) -> list[tuple[int, Event]]:
        """Return (number, event) of the events of one name stored after `seq`, the oldest first."""
        rows = self._execute(f"SELECT seq, {_COLUMNS} FROM events WHERE name = ? AND seq > ? ORDER BY seq", (name, seq))
        return [(row[0], Event(*row[1:])) for row in rows]

    def at(self, seq: int) -> Event:
        """Return the event of a number."""
        row = self._execute(f"SELECT {_COLUMNS} FROM events WHERE seq = ?", (seq,)).fetchone()
        return Event(*row)

    def body(self, seq: int) -> bytes:
        """Return the canonical JSON of an event."""
        body: bytes = self._execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchone()[0]
        return body

    def get(self, internal_id: str) -> Event | None:
        """Return an event."""
        row = self._execute(
            f"SELECT {_COLUMNS} FROM events WHERE internal_id = ? ORDER BY seq LIMIT 1", (internal_id,)
        ).fetchone()
        return None if row is None else Event(*row)

    def of_run(self, run_id: str) -> list[Event]:
        """Return what started a run: its event, or the events of its batch."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM events WHERE seq IN (SELECT event_seq FROM runs WHERE id = :run UNION"
            " SELECT m.event_seq FROM batches b JOIN batch_events m ON m.batch_id = b.id WHERE b.run_id = :run)"
            " ORDER BY seq",
            {"run": run_id},
        )
        return [Event(*row) for row in rows]

    def of_users(self) -> list[Event]:
        """Return every event that users sent, the oldest first; for tests, which have few."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM events WHERE name NOT LIKE 'inngest/%' ORDER BY seq")
        return [Event(*row) for row in rows]

    def page(self, begin: str, end: str, names: list[str], limit: int, *, internal: bool) -> list[Event]:
        """Return events whose internal id lies between `begin` (included) and `end`, the newest first.

        `internal`: our own events too. Each name is a range of an index; so are all events but our own.
        """
        ranges = [
            self._execute(
                f"SELECT internal_id, seq FROM events WHERE {term} AND internal_id >= ? AND internal_id < ?"
                " ORDER BY internal_id DESC, seq DESC LIMIT ?",
                (*given, begin, end, limit),
            ).fetchall()
            for term, given in _kinds(names, internal=internal)
        ]
        newest = itertools.islice(heapq.merge(*ranges, reverse=True), limit)
        return [self.at(seq) for _, seq in newest]

    def count(self, begin: str, end: str, names: list[str], *, internal: bool) -> int:
        """Return how many events `page` finds without a limit, `COUNTED` where there are more."""
        total = 0
        for term, given in _kinds(names, internal=internal):
            counted = self._execute(
                f"SELECT count(*) FROM (SELECT 1 FROM events WHERE {term} AND internal_id >= ? AND internal_id < ?"
                " LIMIT ?)",
                (*given, begin, end, COUNTED - total),
            )
            total += counted.fetchone()[0]
        return total

    def search(self, after: str, before: str, name: str | None, limit: int) -> list[Event]:
        """Return events whose internal id lies between `after` (included) and `before`, the newest first.

        Internal ids begin with the time, so they serve as window and as cursor.
        """
        return self.page(after, before, [] if name is None else [name], limit, internal=True)


def _kinds(names: list[str], *, internal: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Return the ranges of indexes, as conditions with their values, that events of some names lie in."""
    if not names:
        return [("1" if internal else _NOT_OWN, ())]
    return [("name = ?", (name,)) for name in dict.fromkeys(names) if internal or not name.startswith(_OWN)]
