"""What is going on, in figures: a few seeks and counts in indexes, also among a million runs."""

from __future__ import annotations

import sqlite3

import msgspec

from stepserve_core.executor.store.queue import BLOCKED, LEASED, READY, WAITING

_MOST_FUNCTIONS = 8


class Ended(msgspec.Struct, frozen=True):
    """Runs that ended in one interval."""

    completed: int
    failed: int
    cancelled: int
    skipped: int


class Failing(msgspec.Struct, frozen=True):
    """A function with runs that failed, and the last of them."""

    function_id: str
    failed: int
    last_at: float
    last_run_id: str


class Waiter(msgspec.Struct, frozen=True):
    """A call that could be made and waits for a free place."""

    run_id: str
    function_id: str
    since: float


class Overview:
    """Statements about everything at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def ended(self, since: float, until: float) -> Ended:
        """Return how many runs ended how between two moments. One walk through an index, without a look at the runs."""
        row = self._execute(
            "SELECT sum(status = 'Completed'), sum(status = 'Failed'), sum(status = 'Cancelled'),"
            " sum(status = 'Skipped') FROM runs INDEXED BY runs_ended WHERE ended_at >= ? AND ended_at < ?",
            (since, until),
        ).fetchone()
        return Ended(*(count or 0 for count in row))

    def started(self, since: float, until: float) -> int:
        """Return how many runs were queued between two moments."""
        count: int = self._execute(
            "SELECT count(*) FROM runs INDEXED BY runs_queued WHERE queued_at >= ? AND queued_at < ?", (since, until)
        ).fetchone()[0]
        return count

    def failing(self, since: float) -> list[Failing]:
        """Return the functions with the most failed runs of those queued since a moment."""
        rows = self._execute(
            "SELECT function_id, count(*), max(ended_at), id FROM runs INDEXED BY runs_status"
            " WHERE status = 'Failed' AND queued_at >= ? GROUP BY function_id ORDER BY 2 DESC, 3 DESC LIMIT ?",
            (since, _MOST_FUNCTIONS),
        )
        return [Failing(*row) for row in rows]

    def active(self) -> dict[str, int]:
        """Return how many runs have not ended: those that have not been called yet, and those under way."""
        rows = self._execute(
            "SELECT status, count(*) FROM runs INDEXED BY runs_status WHERE status IN ('Scheduled', 'Running')"
            " GROUP BY status"
        )
        counts: dict[str, int] = dict(rows.fetchall())
        return {"queued": counts.get("Scheduled", 0), "running": counts.get("Running", 0)}

    def queue(self) -> dict[str, int]:
        """Return how many items of the queue wait for their time, are ready, under way, or blocked by a limit."""
        rows = self._execute("SELECT state, count(*) FROM queue GROUP BY state").fetchall()
        counts: dict[int, int] = dict(rows)
        names = {"scheduled": WAITING, "ready": READY, "running": LEASED, "blocked": BLOCKED}
        return {name: counts.get(state, 0) for name, state in names.items()}

    def first_waiting(self) -> Waiter | None:
        """Return the call that waits longest for a free place, of those that are next in their order."""
        rows = [
            row
            for state in (READY, BLOCKED)
            for row in self._execute(
                "SELECT run_id, function_id, queued_at FROM queue WHERE state = ? ORDER BY rank LIMIT 1", (state,)
            )
        ]
        return min((Waiter(*row) for row in rows), key=lambda waiter: waiter.since, default=None)
