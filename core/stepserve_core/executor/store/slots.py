"""Concurrency: which calls hold which keys, and which items wait for one (executor.md 7.2)."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3
from collections import Counter

ALL = -1


class Slots:
    """Statements about concurrency slots. A key is free while fewer than its limit of items hold it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def held(self, key: str) -> int:
        """Return how many items hold `key`."""
        count: int = self._execute("SELECT count(*) FROM slots WHERE key = ?", (key,)).fetchone()[0]
        return count

    def take(self, item_id: str, keys: list[str]) -> None:
        """Let an item hold all of `keys`."""
        for key in keys:
            self._execute("INSERT OR IGNORE INTO slots (key, item) VALUES (?, ?)", (key, item_id))

    def block(self, item_id: str, key: str) -> None:
        """Park a claimed item until `key` has room."""
        self._execute("UPDATE queue SET state = 3, rank = priority, blocked_on = ? WHERE id = ?", (key, item_id))

    def unblock(self, key: str, most: int = 1) -> int:
        """Make the first items that wait for `key` ready, `most` of them or `ALL`. Return how many there were."""
        updated = self._execute(
            "UPDATE queue SET state = 1, blocked_on = NULL WHERE id IN"
            " (SELECT id FROM queue WHERE blocked_on = ? ORDER BY rank LIMIT ?)",
            (key, most),
        )
        return updated.rowcount

    def is_waited_for(self, key: str) -> bool:
        """Say whether an item waits for `key`."""
        return self._execute("SELECT 1 FROM queue WHERE blocked_on = ? LIMIT 1", (key,)).fetchone() is not None

    def is_any_waited_for(self, prefix: str) -> bool:
        """Say whether an item waits for a key that begins with `prefix`, of ASCII."""
        row = self._execute(
            "SELECT 1 FROM queue WHERE blocked_on >= ? AND blocked_on < ? LIMIT 1", (prefix, f"{prefix}\x7f")
        )
        return row.fetchone() is not None

    def unblock_all(self) -> None:
        """Make every blocked item ready: limits may have changed."""
        self._execute("UPDATE queue SET state = 1, blocked_on = NULL WHERE blocked_on IS NOT NULL")

    def clear(self) -> None:
        """Free what calls hold: nobody who made one is alive. Slots of whole runs stay with their runs.

        As many items go on as slots are free again, and at least one for each key: to look at all of a long backlog,
        only to park it again, would keep everything else waiting.
        """
        freed = Counter(
            key for (key,) in self._execute("DELETE FROM slots WHERE item NOT LIKE '%:run' RETURNING key").fetchall()
        )
        key = self._next_waited_for("")
        while key is not None:
            self.unblock(key, max(freed[key], 1))
            key = self._next_waited_for(key)

    def _next_waited_for(self, key: str) -> str | None:
        row = self._execute(
            "SELECT blocked_on FROM queue WHERE blocked_on > ? ORDER BY blocked_on LIMIT 1", (key,)
        ).fetchone()
        return None if row is None else row[0]

    def release(self, item_id: str) -> None:
        """Free what an item holds and let one waiting item per key go on."""
        self._free("item = ?", (item_id,))

    def release_run(self, run_id: str) -> None:
        """Free what the items of a run hold."""
        self._free("item >= ? AND item < ?", (f"{run_id}:", f"{run_id};"))

    def _free(self, where: str, arguments: tuple[str, ...]) -> None:
        freed = self._execute(f"DELETE FROM slots WHERE {where} RETURNING key", arguments).fetchall()
        for (key,) in freed:
            self.unblock(key)
