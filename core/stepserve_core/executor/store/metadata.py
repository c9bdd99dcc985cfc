"""Metadata of runs and steps: what they say about themselves."""

from __future__ import annotations

import sqlite3

import msgspec

RUN = ""
"""Stands for the run itself where the hash of a step would stand."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Metadata:
    """Statements about metadata."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def merge(self, run_id: str, step_hash: str, kind: str, content: bytes) -> None:
        """Add the keys of an object to what is known of a kind; later values replace earlier ones."""
        row = self._execute(
            "SELECT content FROM metadata WHERE run_id = ? AND hash = ? AND kind = ?", (run_id, step_hash, kind)
        ).fetchone()
        if row is not None:
            content = msgspec.json.encode({**_decode(row[0]), **_decode(content)}, order="sorted")
        self._execute(
            "INSERT OR REPLACE INTO metadata (run_id, hash, kind, content) VALUES (?, ?, ?, ?)",
            (run_id, step_hash, kind, content),
        )

    def sizes(self, run_id: str, step_hash: str) -> tuple[int, int]:
        """Return the bytes of all metadata of a run, and of those of one step."""
        row: tuple[int, int] = self._execute(
            "SELECT coalesce(sum(length(content)), 0), coalesce(sum(length(content)) FILTER (WHERE hash = ?), 0)"
            " FROM metadata WHERE run_id = ?",
            (step_hash, run_id),
        ).fetchone()
        return row

    def of_run(self, run_id: str) -> dict[str, dict[str, msgspec.Raw]]:
        """Return hash (empty for the run itself) to kind to object."""
        rows = self._execute("SELECT hash, kind, content FROM metadata WHERE run_id = ? ORDER BY hash, kind", (run_id,))
        found: dict[str, dict[str, msgspec.Raw]] = {}
        for step_hash, kind, content in rows:
            found.setdefault(step_hash, {})[kind] = msgspec.Raw(content)
        return found
