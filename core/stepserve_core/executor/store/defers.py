"""Defers of runs: functions to start when the run has ended."""

from __future__ import annotations

import sqlite3

import msgspec

from stepserve_core.executor.store.working_runs import WorkingRuns

SCHEDULED, ABORTED, REJECTED = "Scheduled", "Aborted", "Rejected"


class Defer(msgspec.Struct, frozen=True):
    """A defer. `name` is the id that the user gave, `slug` the function, `input` a JSON object."""

    run_id: str
    hash: str
    name: str
    slug: str
    status: str
    input: bytes


class Defers:
    """Statements about defers. `runs.defers` counts them, so that runs without any need no look here."""

    def __init__(self, connection: sqlite3.Connection, working: WorkingRuns) -> None:
        self._execute = connection.execute
        self._working = working

    def add(self, defer: Defer) -> bool:
        """Store a defer. Return False where it is known already."""
        added = self._execute(
            "INSERT OR IGNORE INTO defers (run_id, hash, name, slug, status, input) VALUES (?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(defer),
        )
        if added.rowcount > 0:
            self._execute("UPDATE runs SET defers = defers + 1 WHERE id = ?", (defer.run_id,))
            self._working.forget(defer.run_id)
        return added.rowcount > 0

    def totals(self, run_id: str) -> tuple[int, int]:
        """Return how many defers a run has, and the bytes of their inputs."""
        count, size = self._execute(
            "SELECT count(*), coalesce(sum(length(input)), 0) FROM defers WHERE run_id = ? AND status != 'Rejected'",
            (run_id,),
        ).fetchone()
        return count, size

    def set_status(self, run_id: str, step_hash: str, status: str) -> None:
        """Change what became of a scheduled defer."""
        self._execute(
            "UPDATE defers SET status = ? WHERE run_id = ? AND hash = ? AND status = 'Scheduled'",
            (status, run_id, step_hash),
        )

    def of_run(self, run_id: str) -> list[Defer]:
        """Return the defers of a run, by hash."""
        rows = self._execute(
            "SELECT run_id, hash, name, slug, status, input FROM defers WHERE run_id = ? ORDER BY hash", (run_id,)
        )
        return [Defer(*row) for row in rows]
