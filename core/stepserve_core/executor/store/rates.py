"""Rates: the state of rate limits and throttles (executor.md 7.3 and 7.4)."""

from __future__ import annotations

import sqlite3


class Rates:
    """Statements about rates. A state whose moment has passed means the same as none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def get(self, key: str) -> float | None:
        """Return the theoretical arrival time of a key."""
        row = self._execute("SELECT tat FROM gcra WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: str, tat: float) -> None:
        """Store the theoretical arrival time of a key."""
        self._execute("INSERT OR REPLACE INTO gcra (key, tat) VALUES (?, ?)", (key, tat))

    def forget_past(self, now: float, limit: int = 1000) -> None:
        """Remove states that no longer hold anything back."""
        self._execute("DELETE FROM gcra WHERE key IN (SELECT key FROM gcra WHERE tat <= ? LIMIT ?)", (now, limit))
