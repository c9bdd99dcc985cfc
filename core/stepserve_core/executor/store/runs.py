"""Runs and their idempotency keys."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3

import msgspec

from stepserve_core.executor.decisions import RunFacts
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.working_runs import WorkingRuns


class RunRow(msgspec.Struct, frozen=True):
    """A run as the API shows it."""

    id: str
    function_id: str
    function_version: int
    status: str
    event_id: str
    event_name: str
    queued_at: float
    started_at: float | None
    ended_at: float | None
    output: bytes | None
    cron: str | None
    batch_id: str | None
    original_run_id: str | None
    skip_reason: str | None = None
    skip_existing_run_id: str | None = None


class NewRun(msgspec.Struct, frozen=True):
    """A run to store."""

    id: str
    function_id: str
    function_version: int
    event_seq: int
    queued_at: float
    rank: float
    cron: str | None = None
    correlation_id: str | None = None
    slot_keys: str | None = None
    batch_id: str | None = None
    flow: str | None = None


class SkippedRun(msgspec.Struct, frozen=True):
    """A run that was skipped, and why; `existing` is the run that stood in its way."""

    id: str
    function_id: str
    function_version: int
    event_seq: int
    skipped_at: float
    cron: str | None
    reason: str
    existing: str | None = None


class OpenRun(msgspec.Struct, frozen=True):
    """A run that has not ended, and its trigger in the table of events."""

    id: str
    event_seq: int


ROW_COLUMNS = (
    "r.id, r.function_id, r.function_version, r.status, e.internal_id, e.name, r.queued_at, r.started_at,"
    " r.ended_at, r.output, r.cron, r.batch_id, r.original_run_id, r.skip_reason, r.skip_existing_run_id"
)
_ROW = f"SELECT {ROW_COLUMNS} FROM runs r JOIN events e ON e.seq = r.event_seq"
_FACTS = (
    "r.id, r.function_id, r.event_seq, r.rank, r.request_version, r.force_plan, r.step_count, r.state_size,"
    " r.correlation_id, r.slot_keys, r.batch_id, r.flow, r.started_at IS NOT NULL, r.defers, r.edited_step,"
    " r.edited_input"
)


class Runs:
    """Statements about runs."""

    def __init__(self, connection: sqlite3.Connection, changes: Changes, working: WorkingRuns) -> None:
        self._execute = connection.execute
        self._changes = changes
        self._working = working

    def add(self, run: NewRun) -> None:
        """Store a run."""
        self._changes.runs.add(run.id)
        self._execute(
            "INSERT INTO runs (id, function_id, function_version, status, event_seq, queued_at, rank, cron,"
            " correlation_id, slot_keys, batch_id, flow) VALUES (?, ?, ?, 'Scheduled', ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.id,
                run.function_id,
                run.function_version,
                run.event_seq,
                run.queued_at,
                run.rank,
                run.cron,
                run.correlation_id,
                run.slot_keys,
                run.batch_id,
                run.flow,
            ),
        )

    def add_skipped(self, run: SkippedRun) -> None:
        """Store a run that was skipped."""
        self._changes.runs.add(run.id)
        self._execute(
            "INSERT INTO runs (id, function_id, function_version, status, event_seq, queued_at, rank, ended_at, cron,"
            " skip_reason, skip_existing_run_id) VALUES (:id, :function_id, :function_version, 'Skipped', :event_seq,"
            " :skipped_at, :skipped_at, :skipped_at, :cron, :reason, :existing)",
            msgspec.structs.asdict(run),
        )

    def facts(self, run_id: str) -> RunFacts | None:
        """Return what is known of a run that has not ended."""
        working = self._working.get(run_id)
        if working is not None:
            return working.facts
        row = self._execute(f"SELECT {_FACTS} FROM runs r WHERE r.id = ? AND r.ended_at IS NULL", (run_id,)).fetchone()
        return None if row is None else _to_facts(row)

    def facts_and_event(self, run_id: str) -> tuple[RunFacts, bytes] | None:
        """Return the facts and the trigger event's body of a run that has not ended."""
        row = self._execute(
            f"SELECT {_FACTS}, e.body FROM runs r JOIN events e ON e.seq = r.event_seq"
            " WHERE r.id = ? AND r.ended_at IS NULL",
            (run_id,),
        ).fetchone()
        return None if row is None else (_to_facts(row[:-1]), row[-1])

    def event_seq(self, run_id: str) -> int:
        """Return the number of the event that a run started from."""
        seq: int = self._execute("SELECT event_seq FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
        return seq

    def note_rerun(self, run_id: str, original_run_id: str) -> None:
        """Note which run is repeated."""
        self._execute("UPDATE runs SET original_run_id = ? WHERE id = ?", (original_run_id, run_id))

    def edit_input(self, run_id: str, step_hash: str, given: bytes) -> None:
        """Give a step other arguments, a JSON array."""
        self._working.forget(run_id)
        self._execute("UPDATE runs SET edited_step = ?, edited_input = ? WHERE id = ?", (step_hash, given, run_id))

    def start(self, run_id: str, now: float) -> None:
        """Note the first call."""
        self._changes.runs.add(run_id)
        self._working.change(run_id, started=True)
        self._execute(
            "UPDATE runs SET status = 'Running', started_at = ? WHERE id = ? AND started_at IS NULL", (now, run_id)
        )

    def learn(self, run_id: str, request_version: int | None, force_plan: bool | None) -> None:
        """Note what an answer says about the run; None leaves a value as it is."""
        self._working.change(run_id, request_version=request_version, force_plan=force_plan)
        self._execute(
            "UPDATE runs SET request_version = coalesce(?, request_version), force_plan = coalesce(?, force_plan)"
            " WHERE id = ?",
            (request_version, force_plan, run_id),
        )

    def learn_limits(self, run_id: str, slot_keys: str, flow: str | None) -> None:
        """Note what a run counts for now."""
        self._working.forget(run_id)
        self._execute("UPDATE runs SET slot_keys = ?, flow = ? WHERE id = ?", (slot_keys, flow, run_id))

    def end(self, run_id: str, status: str, output: bytes | None, now: float) -> bool:
        """End a run. Return False where it had ended before."""
        self._changes.runs.add(run_id)
        self._working.forget(run_id)
        updated = self._execute(
            "UPDATE runs SET status = ?, output = ?, ended_at = ? WHERE id = ? AND ended_at IS NULL",
            (status, output, now, run_id),
        )
        return updated.rowcount > 0

    def get(self, run_id: str) -> RunRow | None:
        """Return a run."""
        row = self._execute(f"{_ROW} WHERE r.id = ?", (run_id,)).fetchone()
        return None if row is None else to_row(row)

    def all(self) -> list[RunRow]:
        """Return every run, in the order in which they were queued; for tests, which have few."""
        return [to_row(row) for row in self._execute(f"{_ROW} ORDER BY r.queued_at, r.rowid")]

    def of_event(self, internal_id: str, after: str = "", limit: int = -1) -> list[RunRow]:
        """Return the runs that an event started, the oldest first: those after a run, and at most so many."""
        rows = self._execute(
            f"{_ROW} WHERE r.id IN (SELECT s.id FROM runs s JOIN events t ON t.seq = s.event_seq WHERE"
            " t.internal_id = :id UNION SELECT b.run_id FROM batch_events m JOIN batches b ON b.id = m.batch_id"
            " WHERE m.internal_id = :id) AND r.id > :after ORDER BY r.id LIMIT :limit",
            {"id": internal_id, "after": after, "limit": limit},
        )
        return [to_row(row) for row in rows]

    def open_between(self, function_id: str, after: str, before: str, limit: int) -> tuple[str | None, list[OpenRun]]:
        """Look at the next `limit` runs, of any function, whose ids lie between `after` and `before`.

        Return the last one looked at, None where there was none, and those of the function that have not ended.
        """
        rows = self._execute(
            "SELECT id, event_seq, function_id = ? AND ended_at IS NULL FROM runs WHERE id > ? AND id < ?"
            " ORDER BY id LIMIT ?",
            (function_id, after, before, limit),
        ).fetchall()
        return rows[-1][0] if rows else None, [OpenRun(row[0], row[1]) for row in rows if row[2]]

    def is_reserved(self, key: str, now: float) -> bool:
        """Say whether a run has an idempotency key."""
        return self.holder(key, now) is not None

    def holder(self, key: str, now: float) -> str | None:
        """Return the run that has an idempotency key."""
        row = self._execute("SELECT run_id FROM idempotency WHERE key = ? AND expires_at > ?", (key, now)).fetchone()
        return None if row is None else row[0]

    def reserve(self, key: str, run_id: str, now: float, expires_at: float) -> bool:
        """Take an idempotency key for a run. Return False where another run has it (executor.md 2.4)."""
        added = self._execute(
            "INSERT INTO idempotency (key, run_id, expires_at) VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET run_id = excluded.run_id, expires_at = excluded.expires_at"
            " WHERE expires_at <= ?",
            (key, run_id, expires_at, now),
        )
        return added.rowcount > 0

    def forget_expired_keys(self, now: float, limit: int = 1000) -> None:
        """Remove idempotency keys whose window is over."""
        self._execute(
            "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= ? LIMIT ?)",
            (now, limit),
        )


def _to_facts(row: tuple[object, ...]) -> RunFacts:
    values = list(row)
    values[5] = bool(values[5])
    values[-4] = bool(values[-4])
    return RunFacts(*values)  # type: ignore[arg-type]  # columns of the schema have these types


def to_row(row: tuple[object, ...]) -> RunRow:
    """Return the run of a row of `ROW_COLUMNS`."""
    return RunRow(*row)  # type: ignore[arg-type]  # as above
