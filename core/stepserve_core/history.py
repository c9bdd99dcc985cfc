"""Histories: what a run did, as `stepserve export` writes it and replay tests read it.

A history is one JSON object. `version` grows when a reader of an older version would misread it; new fields may be
added at any time. Moments are Unix seconds.

    format      "stepserve.history"
    version     1
    app         the id of the app
    function    the id of the function, with the app's: "shop-process-order"
    run         id, status, queued_at, started_at, ended_at (null while it goes on), output (of a failed run: its error)
    events      the events that started it, as functions see them; one, or those of a batch
    steps       in the order in which they finished, then those that have not:
                id (the hash on the wire), name (as the function has it), op, status, attempts, queued_at, started_at,
                ended_at, memo (what the server gives to the function; null while there is none)

The memos are what the app gave: encrypted where it encrypts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stepserve_core.errors import Error

FORMAT, VERSION = "stepserve.history", 1

EXECUTED_OPS = frozenset({"StepError", "StepFailed", "StepPlanned", "StepRun"})
"""As what a server may first hear of a step that the app executes; in histories it is a "StepRun"."""


class HistoryInvalidError(Error, ValueError):
    """Something is not a history, or one of a version that this release does not know."""


class HistoryRun(msgspec.Struct, frozen=True):
    """The run of a history."""

    id: str
    status: str
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    output: msgspec.Raw = msgspec.Raw(b"null")


class HistoryStep(msgspec.Struct, frozen=True):
    """A step of a history."""

    id: str
    name: str
    op: str
    status: str
    attempts: int
    queued_at: float
    started_at: float | None
    ended_at: float | None
    memo: msgspec.Raw

    @property
    def is_finished(self) -> bool:
        """Say whether the server has a memo of it. A memo may be null: `status` decides."""
        return self.status in ("Completed", "Failed", "TimedOut")


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A run and all that it did."""

    format: str = FORMAT
    version: int = VERSION
    app: str
    function: str
    run: HistoryRun
    events: list[msgspec.Raw]
    steps: list[HistoryStep]

    def to_json(self) -> bytes:
        """Return it as JSON, indented for people and for diffs."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


Source = History | Mapping[str, Any] | bytes | str | os.PathLike[str]
"""A history: itself, as a JSON object or text, or the path of a file."""


def read_history(source: Source) -> History:
    """Return a history. Text that begins with a brace is JSON, other text a path.

    Raises:
        HistoryInvalidError: it is none.
        OSError: the file cannot be read.
    """
    if isinstance(source, History):
        return source
    if isinstance(source, Mapping):
        return _decode(msgspec.json.encode(dict(source)), "this")
    if isinstance(source, bytes):
        return _decode(source, "this")
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return _decode(source.encode(), "this")
    path = Path(source)
    return _decode(path.read_bytes(), str(path))


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def _decode(text: bytes, name: str) -> History:
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise HistoryInvalidError(f"{name} is not a history: `stepserve export RUN_ID` writes one")
        if head.version != VERSION:
            raise HistoryInvalidError(f"{name} is a history of version {head.version}; this release reads {VERSION}")
        history = msgspec.json.decode(text, type=History)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HistoryInvalidError(f"{name} is not a history: {error}") from None
    if not history.events:
        raise HistoryInvalidError(f"{name} is not a history: it has no events")
    return history
