"""Steps of runs: memos, the stack, failed attempts, and the groups that are under way."""

from __future__ import annotations

import sqlite3

import msgspec

from stepserve_core.executor.decisions import StepRef
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.working_runs import WorkingRuns


class Timing(msgspec.Struct, frozen=True):
    """When an attempt was queued, began and ended."""

    queued_at: float
    started_at: float
    ended_at: float
    attempt: int = 0


class StepRow(msgspec.Struct, frozen=True):
    """A step as the timeline shows it."""

    hash: str
    name: str
    op: str
    status: str
    attempt: int
    queued_at: float
    started_at: float | None
    ended_at: float | None
    memo: bytes | None
    detail: bytes | None


class AttemptRow(msgspec.Struct, frozen=True):
    """A recorded attempt; `hash` is empty for attempts of the function itself."""

    hash: str
    attempt: int
    status: str
    queued_at: float
    started_at: float
    ended_at: float
    error: bytes | None


class Steps:
    """Statements about steps."""

    def __init__(self, connection: sqlite3.Connection, changes: Changes, working: WorkingRuns) -> None:
        self._execute = connection.execute
        self._changes = changes
        self._working = working

    def open(self, run_id: str, step: StepRef, status: str, now: float, detail: bytes | None = None) -> bool:
        """Note a step that will finish later. Return False where it is known already."""
        self._changes.runs.add(run_id)
        opened = self._execute(
            "INSERT OR IGNORE INTO steps (run_id, hash, name, op, status, races, queued_at, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (run_id, step.hash, step.name, step.op, status, step.races, now, detail),
        )
        return opened.rowcount > 0

    def record(self, run_id: str, step: StepRef, memo: bytes, status: str, timing: Timing) -> bool:
        """Memoise an executed step, once. Return False where it had a memo; the first one stays (executor.md 5.4)."""
        self._changes.runs.add(run_id)
        saved = self._execute(
            "INSERT INTO steps (run_id, hash, name, op, status, races, attempt, queued_at, started_at, ended_at, memo,"
            " detail, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT step_count FROM runs WHERE id = ?))"
            " ON CONFLICT (run_id, hash) DO UPDATE SET status = excluded.status, attempt = excluded.attempt,"
            " queued_at = excluded.queued_at, started_at = excluded.started_at, ended_at = excluded.ended_at,"
            " memo = excluded.memo, position = excluded.position, races = max(races, excluded.races),"
            " detail = coalesce(detail, excluded.detail)"
            " WHERE memo IS NULL",
            (
                run_id,
                step.hash,
                step.name,
                step.op,
                status,
                step.races,
                timing.attempt,
                timing.queued_at,
                timing.started_at,
                timing.ended_at,
                memo,
                step.detail,
                run_id,
            ),
        )
        return self._count(run_id, step.hash, memo, saved.rowcount > 0)

    def resolve(self, run_id: str, step_hash: str, memo: bytes, status: str, now: float) -> bool:
        """Memoise a step that waited, once. Return False where it had a memo."""
        self._changes.runs.add(run_id)
        saved = self._execute(
            "UPDATE steps SET status = ?, ended_at = ?, memo = ?, position = (SELECT step_count FROM runs WHERE id = ?)"
            " WHERE run_id = ? AND hash = ? AND memo IS NULL",
            (status, now, memo, run_id, run_id, step_hash),
        )
        return self._count(run_id, step_hash, memo, saved.rowcount > 0)

    def count_open(self, run_id: str) -> int:
        """Return how many steps of a run have not finished."""
        row = self._execute("SELECT count(*) FROM steps WHERE run_id = ? AND memo IS NULL", (run_id,)).fetchone()
        open_steps: int = row[0]
        return open_steps

    def has_op(self, run_id: str, op: str) -> bool:
        """Say whether a run has a step of a kind."""
        return (
            self._execute("SELECT 1 FROM steps WHERE run_id = ? AND op = ? LIMIT 1", (run_id, op)).fetchone()
            is not None
        )

    def _count(self, run_id: str, step_hash: str, memo: bytes, saved: bool) -> bool:
        if saved:
            self._execute(
                "UPDATE runs SET step_count = step_count + 1, state_size = state_size + ? WHERE id = ?",
                (len(memo), run_id),
            )
            self._working.add_memo(run_id, step_hash, memo)
        return saved

    def is_finished(self, run_id: str, step_hash: str) -> bool:
        """Say whether a step has its memo."""
        row = self._execute(
            "SELECT 1 FROM steps WHERE run_id = ? AND hash = ? AND memo IS NOT NULL", (run_id, step_hash)
        ).fetchone()
        return row is not None

    def named(self, run_id: str, step: str) -> set[str]:
        """Return the hashes of the steps of a run that have this hash or this name."""
        rows = self._execute("SELECT hash FROM steps WHERE run_id = ? AND (hash = ? OR name = ?)", (run_id, step, step))
        return {row[0] for row in rows}

    def copy(self, run_id: str, new_id: str, hashes: list[str]) -> None:
        """Give another run the memos of finished steps; they stand in its stack in the order that they had."""
        self._working.forget(new_id)
        ordered = self._execute(
            "SELECT hash, length(memo) FROM steps WHERE run_id = ? AND memo IS NOT NULL ORDER BY position", (run_id,)
        ).fetchall()
        for step_hash, size in ordered:
            if step_hash in hashes:
                self._execute(
                    "INSERT INTO steps (run_id, hash, name, op, status, races, attempt, queued_at, started_at,"
                    " ended_at, memo, detail, position) SELECT ?, hash, name, op, status, races, attempt, queued_at,"
                    " started_at, ended_at, memo, detail, (SELECT step_count FROM runs WHERE id = ?) FROM steps"
                    " WHERE run_id = ? AND hash = ?",
                    (new_id, new_id, run_id, step_hash),
                )
                self._execute(
                    "UPDATE runs SET step_count = step_count + 1, state_size = state_size + ? WHERE id = ?",
                    (size, new_id),
                )

    def races(self, run_id: str, step_hash: str) -> bool:
        """Say whether a step belongs to a group in race mode."""
        row = self._execute("SELECT races FROM steps WHERE run_id = ? AND hash = ?", (run_id, step_hash)).fetchone()
        return row is not None and bool(row[0])

    def memos(self, run_id: str) -> list[tuple[str, bytes, int]]:
        """Return (hash, memo, position) of the finished steps, in order of hash."""
        return self._execute(
            "SELECT hash, memo, position FROM steps WHERE run_id = ? AND memo IS NOT NULL ORDER BY hash", (run_id,)
        ).fetchall()

    def add_attempt(self, run_id: str, step_hash: str, status: str, timing: Timing, error: bytes | None) -> None:
        """Note an attempt that did not finish a step, or one of the function itself (`step_hash` empty)."""
        self._changes.runs.add(run_id)
        self._execute(
            "INSERT INTO attempts (run_id, hash, attempt, status, queued_at, started_at, ended_at, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (run_id, step_hash, timing.attempt, status, timing.queued_at, timing.started_at, timing.ended_at, error),
        )

    def add_pending(self, run_id: str, hashes: tuple[str, ...]) -> None:
        """Add the unfinished steps among `hashes` to the group under way."""
        for step_hash in hashes:
            if not self.is_finished(run_id, step_hash):
                self._execute("INSERT OR IGNORE INTO pending (run_id, hash) VALUES (?, ?)", (run_id, step_hash))

    def remove_pending(self, run_id: str, step_hash: str) -> bool:
        """Take a step out of the group. Return whether it was in it."""
        removed = self._execute("DELETE FROM pending WHERE run_id = ? AND hash = ?", (run_id, step_hash))
        return removed.rowcount > 0

    def count_pending(self, run_id: str) -> int:
        """Return how many steps of the group have not finished."""
        count: int = self._execute("SELECT count(*) FROM pending WHERE run_id = ?", (run_id,)).fetchone()[0]
        return count

    def forget_pending(self, run_id: str) -> None:
        """Forget the group of a run that ends."""
        self._execute("DELETE FROM pending WHERE run_id = ?", (run_id,))

    def close_open(self, run_id: str, now: float) -> None:
        """Mark the steps that a run leaves unfinished."""
        self._execute(
            "UPDATE steps SET status = 'Cancelled', ended_at = ? WHERE run_id = ? AND memo IS NULL", (now, run_id)
        )

    def rows(self, run_id: str) -> list[StepRow]:
        """Return the steps of a run in the order in which they were first seen."""
        rows = self._execute(
            "SELECT hash, name, op, status, attempt, queued_at, started_at, ended_at, memo, detail FROM steps"
            " WHERE run_id = ? ORDER BY rowid",
            (run_id,),
        )
        return [StepRow(*row) for row in rows]

    def attempts(self, run_id: str) -> list[AttemptRow]:
        """Return the recorded attempts of a run, in the order in which they ended."""
        rows = self._execute(
            "SELECT hash, attempt, status, queued_at, started_at, ended_at, error FROM attempts WHERE run_id = ?"
            " ORDER BY rowid",
            (run_id,),
        )
        return [AttemptRow(*row) for row in rows]
