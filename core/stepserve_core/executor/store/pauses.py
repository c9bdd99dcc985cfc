"""Pauses: waits for an event, invocations that have not ended, and events that cancel a run."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

WAIT, INVOKE, CANCEL, SIGNAL = "wait", "invoke", "cancel", "signal"


class Pause(msgspec.Struct, frozen=True):
    """Something that an event may end. `hash` is the step's, or `cancel:<n>` for the n-th cancellation of a run.

    `match_path` and `match_value` are what `expression_equalities.match_of` gave: which events have to look at it.
    """

    run_id: str
    hash: str
    kind: str
    event_name: str | None
    expression: str | None
    correlation_id: str | None
    expires_at: float
    match_path: str = ""
    match_value: str = ""


_COLUMNS = "run_id, hash, kind, event_name, expression, correlation_id, expires_at, match_path, match_value"


class Pauses:
    """Statements about pauses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def add(self, pause: Pause) -> None:
        """Store a pause; the same one twice is one."""
        self._execute(
            f"INSERT OR IGNORE INTO pauses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(pause),
        )

    def for_event(self, name: str, value_at: Callable[[str], str]) -> list[Pause]:
        """Return what an event of this name may end, the oldest first. `value_at` gives its value at a path."""
        found: list[tuple[Any, ...]] = []
        path: str | None = self._next_path(name, ">=", "")
        while path is not None:
            value = value_at(path) if path else ""
            found += self._execute(
                f"SELECT rowid, {_COLUMNS} FROM pauses WHERE event_name = ? AND match_path = ? AND match_value = ?",
                (name, path, value),
            )
            path = self._next_path(name, ">", path)
        return [Pause(*row[1:]) for row in sorted(found)]

    def _next_path(self, name: str, comparison: str, path: str) -> str | None:
        """Return the next path that pauses of a name have; there are few, whatever the number of pauses."""
        row = self._execute(
            f"SELECT match_path FROM pauses WHERE event_name = ? AND match_path {comparison} ?"
            " ORDER BY match_path LIMIT 1",
            (name, path),
        ).fetchone()
        return None if row is None else row[0]

    def count(self, name: str) -> int:
        """Return how many pauses wait for events of a name."""
        count: int = self._execute("SELECT count(*) FROM pauses WHERE event_name = ?", (name,)).fetchone()[0]
        return count

    def take(self, run_id: str, step_hash: str) -> bool:
        """Remove a pause. Return False where something else took it first."""
        deleted = self._execute("DELETE FROM pauses WHERE run_id = ? AND hash = ?", (run_id, step_hash))
        return deleted.rowcount > 0

    def take_invocation(self, correlation_id: str) -> Pause | None:
        """Remove and return the pause of an invocation."""
        row = self._execute(
            f"DELETE FROM pauses WHERE correlation_id = ? RETURNING {_COLUMNS}", (correlation_id,)
        ).fetchone()
        return None if row is None else Pause(*row)

    def of_correlation(self, correlation_id: str) -> Pause | None:
        """Return the pause of an invocation or a signal."""
        row = self._execute(f"SELECT {_COLUMNS} FROM pauses WHERE correlation_id = ?", (correlation_id,)).fetchone()
        return None if row is None else Pause(*row)

    def of_correlations(self, begin: str, end: str) -> list[Pause]:
        """Return the pauses whose correlation id lies between `begin` (included) and `end`."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM pauses WHERE correlation_id >= ? AND correlation_id < ?", (begin, end)
        )
        return [Pause(*row) for row in rows]

    def drop_correlation(self, run_id: str, step_hash: str) -> None:
        """Leave nothing to a pause but its timeout."""
        self._execute("UPDATE pauses SET correlation_id = NULL WHERE run_id = ? AND hash = ?", (run_id, step_hash))

    def remove_run(self, run_id: str) -> None:
        """Remove the pauses of a run that ends."""
        self._execute("DELETE FROM pauses WHERE run_id = ?", (run_id,))
