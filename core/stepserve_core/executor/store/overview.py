"""What is going on, in figures: a few seeks and counts in indexes, also among a million runs."""

from __future__ import annotations

import sqlite3

import msgspec

from stepserve_core.executor.store.queue import BLOCKED, LEASED, READY, WAITING

_MOST_FUNCTIONS = 8


class Bucket(msgspec.Struct, frozen=True):
    """Runs that ended in one interval; `number` counts intervals from the beginning."""

    number: int
    status: str
    runs: int


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

    def ended(self, since: float, interval: float) -> list[Bucket]:
        """Return how many runs ended since a moment, by interval and status."""
        rows = self._execute(
            "SELECT CAST((ended_at - :since) / :interval AS INTEGER), status, count(*) FROM runs"
            " INDEXED BY runs_ended WHERE ended_at >= :since GROUP BY 1, 2",
            {"since": since, "interval": interval},
        )
        return [Bucket(*row) for row in rows]

    def started(self, since: float, interval: float) -> dict[int, int]:
        """Return how many runs were queued since a moment, by interval."""
        rows = self._execute(
            "SELECT CAST((queued_at - :since) / :interval AS INTEGER), count(*) FROM runs INDEXED BY runs_queued"
            " WHERE queued_at >= :since GROUP BY 1",
            {"since": since, "interval": interval},
        )
        return dict(rows.fetchall())

    def failing(self, since: float) -> list[Failing]:
        """Return the functions with the most failed runs since a moment."""
        rows = self._execute(
            "SELECT function_id, count(*), max(ended_at), id FROM runs INDEXED BY runs_ended"
            " WHERE ended_at >= ? AND status = 'Failed' GROUP BY function_id ORDER BY 2 DESC, 3 DESC LIMIT ?",
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
