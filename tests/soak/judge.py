"""What has become of everything that was accepted: the losses of the soak, of which there must be none."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from tests.soak.app import expected

OUTCOMES = (
    "SELECT e.external_id, r.status, r.output FROM runs r"
    " JOIN events e ON e.seq = r.event_seq JOIN functions f ON f.id = r.function_id"
    " WHERE f.slug NOT IN ('app-child', 'app-told') AND e.name NOT LIKE 'inngest/%'"
)
TOLD = "SELECT r.output FROM runs r JOIN functions f ON f.id = r.function_id WHERE f.slug = 'app-told'"
WAITING = "SELECT e.body FROM runs r JOIN events e ON e.seq = r.event_seq WHERE r.ended_at IS NULL"
"""The events of runs that have not ended."""
LEFT = {
    "queue": "SELECT count(*) FROM queue",
    "runs whose steps are miscounted": "SELECT count(*) FROM runs r WHERE step_count !="
    " (SELECT count(*) FROM steps s WHERE s.run_id = r.id AND s.memo IS NOT NULL)",
    **{table: f"SELECT count(*) FROM {table}" for table in ("slots", "singletons", "pauses", "pending")},
}
"""What may be left of no run that has ended."""


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, beside a server that may run."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def waiting_numbers(path: Path) -> Counter[int]:
    """Return the numbers of runs that have not ended, and how many runs each has."""
    return Counter(json.loads(body)["data"].get("n", 0) for (body,) in read(path, WAITING))


def count_runs(path: Path) -> tuple[int, int]:
    """Return how many runs there are, and how many of them have ended."""
    ((runs, ended),) = read(path, "SELECT count(*), count(ended_at) FROM runs")
    return runs, ended


def losses(path: Path, journal: Path, sent: int) -> list[str]:
    """Return what is lost, doubled, wrong or left behind; `sent` numbers were accepted."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for event_id, status, output in read(path, OUTCOMES):
        ending = (status, json.loads(output) if status == "Completed" else None)
        found.setdefault(event_id, []).append(ending)
    lost = [
        f"{name}-{n} must end with {ending}, and has {found.get(f'{name}-{n}', 'no run')}"
        for n in range(sent)
        for name, ending in expected(n).items()
        if found.get(f"{name}-{n}") != [ending]
    ]
    told = Counter(json.loads(output or b"null") for (output,) in read(path, TOLD))
    lost += [f"the event of sender-{n} started {told[n]} runs" for n in range(sent) if told[n] != 1]
    lost += [f"{count} left behind: {name}" for name, sql in LEFT.items() if (count := read(path, sql)[0][0])]
    integrity = read(path, "PRAGMA integrity_check")
    lost += [] if integrity == [("ok",)] else [f"the database is damaged: {integrity}"]
    return lost + executed_again(journal)


def executed_again(journal: Path) -> list[str]:
    """Return the steps that a call executed although an earlier call of the run had brought their result."""
    known: dict[str, set[str]] = {}
    known_to_call: dict[str, set[str]] = {}
    again: list[str] = []
    for line in journal.read_text().splitlines():
        kind, run_id, request_id, *steps = line.split()
        if kind == "call":
            lost = known.setdefault(run_id, set()) - set(steps)
            again += [f"step {step} of run {run_id} was forgotten" for step in lost]
            known[run_id].update(steps)
            known_to_call[request_id] = set(known[run_id])
        else:
            again += [f"step {one} of run {run_id} ran again" for one in steps if one in known_to_call[request_id]]
    return again
