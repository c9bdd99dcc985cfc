"""Singletons: which run holds which lock (executor.md 7.8)."""

from __future__ import annotations

import sqlite3


class Singletons:
    """Statements about singleton locks."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def holder(self, key: str) -> str | None:
        """Return the run that holds a lock."""
        row = self._execute("SELECT run_id FROM singletons WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def take(self, key: str, run_id: str) -> None:
        """Let a run hold a lock."""
        self._execute("INSERT OR REPLACE INTO singletons (key, run_id) VALUES (?, ?)", (key, run_id))

    def release(self, key: str, run_id: str) -> None:
        """Free the lock that a run holds."""
        self._execute("DELETE FROM singletons WHERE key = ? AND run_id = ?", (key, run_id))
