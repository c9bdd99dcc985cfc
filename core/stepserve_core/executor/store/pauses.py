"""Pauses: waits for an event, invocations that have not ended, and events that cancel a run."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3

import msgspec

WAIT, INVOKE, CANCEL, SIGNAL = "wait", "invoke", "cancel", "signal"


class Pause(msgspec.Struct, frozen=True):
    """Something that an event may end. `hash` is the step's, or `cancel:<n>` for the n-th cancellation of a run."""

    run_id: str
    hash: str
    kind: str
    event_name: str | None
    expression: str | None
    correlation_id: str | None
    expires_at: float


_COLUMNS = "run_id, hash, kind, event_name, expression, correlation_id, expires_at"


class Pauses:
    """Statements about pauses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def add(self, pause: Pause) -> None:
        """Store a pause; the same one twice is one."""
        self._execute(
            f"INSERT OR IGNORE INTO pauses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(pause)
        )

    def for_event(self, name: str) -> list[Pause]:
        """Return what an event of this name may end, the oldest first."""
        rows = self._execute(f"SELECT {_COLUMNS} FROM pauses WHERE event_name = ? ORDER BY rowid", (name,))
        return [Pause(*row) for row in rows]

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

    def drop_correlation(self, run_id: str, step_hash: str) -> None:
        """Leave nothing to a pause but its timeout."""
        self._execute("UPDATE pauses SET correlation_id = NULL WHERE run_id = ? AND hash = ?", (run_id, step_hash))

    def remove_run(self, run_id: str) -> None:
        """Remove the pauses of a run that ends."""
        self._execute("DELETE FROM pauses WHERE run_id = ?", (run_id,))
