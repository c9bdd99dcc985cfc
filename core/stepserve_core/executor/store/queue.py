"""The queue: items that wait for their time, are ready, are leased, or are blocked by a concurrency limit."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3

import msgspec

WAITING, READY, LEASED, BLOCKED = range(4)

TIMERS = frozenset(
    {"sleep", "timeout", "cron", "debounce", "batch", "throttle", "start-timeout", "finish-timeout", "cancellation"}
)
"""Kinds that are carried out inside the transaction that finds them due; all others are calls."""


class QueueItem(msgspec.Struct, frozen=True):
    """A queue item. `at` is when it is due, `priority` its place among ready items (smaller goes first)."""

    id: str
    kind: str
    run_id: str
    function_id: str
    at: float
    priority: float
    step: str | None = None
    attempt: int = 0
    payload: bytes | None = None


class Claimed(msgspec.Struct, frozen=True):
    """A leased item."""

    id: str
    kind: str
    run_id: str
    step: str | None
    function_id: str
    attempt: int
    generation: int
    queued_at: float
    priority: float
    payload: bytes | None


class Job(msgspec.Struct, frozen=True):
    """What is shown of an item: `at` is when it is due, or was; `step` the hash of the one that it is about."""

    id: str
    kind: str
    at: float
    attempt: int
    step: str | None
    state: int


_CLAIMED = "id, kind, run_id, step, function_id, attempt, {}, queued_at, priority, payload"


class Queue:
    """Statements about the queue."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def add(self, item: QueueItem, now: float) -> bool:
        """Queue an item; one with the same id stays as it is. Return whether it was added."""
        ready = item.at <= now and item.kind not in TIMERS
        added = self._execute(
            "INSERT OR IGNORE INTO queue (id, kind, run_id, step, function_id, state, rank, priority, attempt,"
            " queued_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.id,
                item.kind,
                item.run_id,
                item.step,
                item.function_id,
                READY if ready else WAITING,
                item.priority if ready else item.at,
                item.priority,
                item.attempt,
                max(item.at, now),
                item.payload,
            ),
        )
        return added.rowcount > 0

    def next_due(self) -> float | None:
        """Return when the next waiting item is due."""
        row = self._execute("SELECT rank FROM queue WHERE state = 0 ORDER BY rank LIMIT 1").fetchone()
        return None if row is None else row[0]

    def next_due_but_ticks(self) -> float | None:
        """Return when the next waiting item is due that is not the tick of a schedule."""
        row = self._execute(
            "SELECT rank FROM queue WHERE state = 0 AND kind != 'cron' ORDER BY rank LIMIT 1"
        ).fetchone()
        return None if row is None else row[0]

    def find_due(self, now: float, limit: int) -> list[Claimed]:
        """Return waiting items whose time has come, the earliest first."""
        rows = self._execute(
            f"SELECT {_CLAIMED.format('generation')} FROM queue WHERE state = 0 AND rank <= ? ORDER BY rank LIMIT ?",
            (now, limit),
        )
        return [Claimed(*row) for row in rows]

    def make_ready(self, item_id: str) -> None:
        """Let a waiting item be claimed."""
        self._execute("UPDATE queue SET state = 1, rank = priority WHERE id = ?", (item_id,))

    def claim(self, limit: int, lease_until: float) -> list[Claimed]:
        """Lease up to `limit` ready items, in order of priority."""
        # Two statements: one would keep the ids in a table of its own on the way, which takes three times as long.
        rows = self._execute(
            f"SELECT {_CLAIMED.format('generation + 1')} FROM queue WHERE state = 1 ORDER BY rank LIMIT ?", (limit,)
        ).fetchall()
        claimed = [Claimed(*row) for row in rows]
        for item in claimed:
            self._execute(
                "UPDATE queue SET state = 2, rank = ?, generation = ? WHERE id = ?",
                (lease_until, item.generation, item.id),
            )
        return claimed

    def lease_ends(self) -> list[float]:
        """Return when the leases end, the earliest first."""
        return [row[0] for row in self._execute("SELECT rank FROM queue WHERE state = 2 ORDER BY rank")]

    def renew(self, item_ids: list[str], lease_until: float) -> None:
        """Extend leases."""
        for item_id in item_ids:
            self._execute("UPDATE queue SET rank = ? WHERE id = ? AND state = 2", (lease_until, item_id))

    def advance(self, item_id: str, generation: int, lease_until: float, *, if_before: float) -> float | None:
        """Note that a leased item got on: its attempts begin anew, and a lease that ends `if_before` is extended.

        Return when it was queued; None where the lease was lost. `generation` 0 stands for whichever it is.
        """
        row = self._execute(
            "SELECT queued_at, attempt, rank FROM queue WHERE id = ? AND ? IN (0, generation) AND state = 2",
            (item_id, generation),
        ).fetchone()
        if row is None:
            return None
        queued_at, attempt, lease_ends = row
        if attempt or lease_ends < if_before:  # steps come in numbers: hardly any has something to change
            self._execute(
                "UPDATE queue SET attempt = 0, rank = max(rank, ?) WHERE id = ?",
                (lease_until, item_id),
            )
        moment: float = queued_at
        return moment

    def expire_leases(self, now: float | None) -> list[str]:
        """Make leased items ready again whose lease has ended; None ends all. Return their ids."""
        rows = self._execute(
            "UPDATE queue SET state = 1, rank = priority WHERE state = 2 AND rank <= ? RETURNING id",
            (float("inf") if now is None else now,),
        )
        return [row[0] for row in rows.fetchall()]

    def finish(self, item_id: str, generation: int) -> bool:
        """Remove a leased item. Return False where the lease was lost or the run has ended."""
        deleted = self._execute(
            "DELETE FROM queue WHERE id = ? AND generation = ? AND state = 2", (item_id, generation)
        )
        return deleted.rowcount > 0

    def has_ready(self) -> bool:
        """Say whether an item could be claimed."""
        return self._execute("SELECT 1 FROM queue WHERE state = 1 LIMIT 1").fetchone() is not None

    def turn_into(
        self, item_id: str, generation: int, item: QueueItem, now: float, lease_until: float
    ) -> Claimed | None:
        """Turn a leased item into another one, leased as well. Starts are not: the database counts those that end.

        It is what `finish`, `add` and `claim` do, in one statement. Return None, and do nothing, where the lease was
        lost or the new item is queued already.
        """
        turned = self._execute(
            "UPDATE OR IGNORE queue SET id = ?, kind = ?, step = ?, rank = ?, priority = ?, attempt = ?, queued_at = ?,"
            " payload = ?, generation = 1 WHERE id = ? AND generation = ? AND state = 2 AND kind != 'start'",
            (
                item.id,
                item.kind,
                item.step,
                lease_until,
                item.priority,
                item.attempt,
                now,
                item.payload,
                item_id,
                generation,
            ),
        )
        if turned.rowcount == 0:
            return None
        return Claimed(
            item.id,
            item.kind,
            item.run_id,
            item.step,
            item.function_id,
            item.attempt,
            1,
            now,
            item.priority,
            item.payload,
        )

    def put_back(self, item_id: str, generation: int, at: float, attempt: int, now: float) -> bool:
        """Let a leased item wait for its next attempt. Return False where the lease was lost."""
        updated = self._execute(
            "UPDATE queue SET state = CASE WHEN :at <= :now THEN 1 ELSE 0 END,"
            " rank = CASE WHEN :at <= :now THEN priority ELSE :at END, attempt = :attempt, queued_at = max(:at, :now)"
            " WHERE id = :id AND generation = :generation AND state = 2",
            {"at": at, "now": now, "attempt": attempt, "id": item_id, "generation": generation},
        )
        return updated.rowcount > 0

    def take(self, item_id: str, lease_until: float) -> int | None:
        """Lease a waiting item before its time; return its generation, None if it does not wait any more."""
        row = self._execute(
            "UPDATE queue SET state = 2, rank = ?, generation = generation + 1 WHERE id = ? AND state = 0"
            " RETURNING generation",
            (lease_until, item_id),
        ).fetchone()
        return None if row is None else row[0]

    def release(self, item_id: str, generation: int) -> None:
        """Give a leased item back untouched, for a stopping process."""
        self._execute(
            "UPDATE queue SET state = 1, rank = priority WHERE id = ? AND generation = ? AND state = 2",
            (item_id, generation),
        )

    def remove(self, item_id: str) -> bool:
        """Remove an item whatever its state."""
        return self._execute("DELETE FROM queue WHERE id = ?", (item_id,)).rowcount > 0

    def remove_run(self, run_id: str) -> None:
        """Remove everything that is queued for a run."""
        self._execute("DELETE FROM queue WHERE id >= ? AND id < ?", (f"{run_id}:", f"{run_id};"))

    def of_run(self, run_id: str) -> list[Job]:
        """Return what is queued for a run, the first due first."""
        rows = self._execute(
            "SELECT id, kind, queued_at, attempt, step, state FROM queue WHERE id >= ? AND id < ?"
            " ORDER BY queued_at, id",
            (f"{run_id}:", f"{run_id};"),
        )
        return [Job(*row) for row in rows]

    def starts(self, function_id: str) -> int:
        """Return how many runs of a function wait for their first call or are in it."""
        row = self._execute("SELECT starts FROM backlogs WHERE function_id = ?", (function_id,)).fetchone()
        return 0 if row is None else row[0]

    def payload(self, item_id: str) -> bytes | None:
        """Return what an item carries."""
        row = self._execute("SELECT payload FROM queue WHERE id = ?", (item_id,)).fetchone()
        return None if row is None else row[0]

    def move(self, item_id: str, at: float, payload: bytes) -> None:
        """Let a waiting item be due at another moment, and carry something else."""
        self._execute("UPDATE queue SET rank = ?, payload = ? WHERE id = ? AND state = 0", (at, payload, item_id))

    def hasten(self, item_id: str, at: float) -> None:
        """Let a waiting item be due at a moment, or when it is due already if that is earlier."""
        self._execute("UPDATE queue SET rank = min(rank, ?) WHERE id = ? AND state = 0", (at, item_id))

    def bring_forward(self, item_id: str, now: float) -> bool:
        """Make a waiting item due now."""
        updated = self._execute("UPDATE queue SET rank = ? WHERE id = ? AND state = 0", (now, item_id))
        return updated.rowcount > 0

    def timers_of(self, function_id: str, kind: str) -> list[str]:
        """Return the ids of a function's timers of one kind."""
        prefix = f"{kind}:{function_id}:"
        rows = self._execute("SELECT id FROM queue WHERE id >= ? AND id < ?", (prefix, prefix[:-1] + ";"))
        return [row[0] for row in rows]
