"""Metadata of runs and steps: what they say about themselves."""

from __future__ import annotations

import sqlite3

import msgspec

RUN = ""
"""Stands for the run itself where the hash of a step would stand."""


class Metadata:
    """Statements about metadata."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def get(self, run_id: str, step_hash: str, kind: str) -> bytes | None:
        """Return what is known of a kind: a JSON object."""
        row = self._execute(
            "SELECT content FROM metadata WHERE run_id = ? AND hash = ? AND kind = ?", (run_id, step_hash, kind)
        ).fetchone()
        return None if row is None else row[0]

    def put(self, run_id: str, step_hash: str, kind: str, content: bytes) -> None:
        """Store what is known of a kind."""
        self._execute(
            "INSERT OR REPLACE INTO metadata (run_id, hash, kind, content) VALUES (?, ?, ?, ?)",
            (run_id, step_hash, kind, content),
        )

    def sizes_without(self, run_id: str, step_hash: str, kinds: list[str]) -> tuple[int, int]:
        """Return the bytes of all metadata of a run, and of those of one step, but for some kinds of this step.

        What a kind is called counts too.
        """
        row: tuple[int, int] = self._execute(
            "SELECT coalesce(sum(size), 0), coalesce(sum(size) FILTER (WHERE hash = :hash), 0) FROM"
            " (SELECT hash, length(CAST(kind AS BLOB)) + length(content) AS size FROM metadata WHERE run_id = :run"
            " AND NOT (hash = :hash AND kind IN (SELECT value FROM json_each(:kinds))))",
            {"run": run_id, "hash": step_hash, "kinds": msgspec.json.encode(kinds).decode()},
        ).fetchone()
        return row

    def of_run(self, run_id: str) -> dict[str, dict[str, msgspec.Raw]]:
        """Return hash (empty for the run itself) to kind to object."""
        rows = self._execute("SELECT hash, kind, content FROM metadata WHERE run_id = ? ORDER BY hash, kind", (run_id,))
        found: dict[str, dict[str, msgspec.Raw]] = {}
        for step_hash, kind, content in rows:
            found.setdefault(step_hash, {})[kind] = msgspec.Raw(content)
        return found
