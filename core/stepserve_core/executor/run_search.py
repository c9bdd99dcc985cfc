"""Searching runs: what may be asked for, and the expressions of a search (executor.md 13.1 and 13.5). No I/O."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from stepserve_core.executor.expression_compiler import SEARCH_VARIABLES, compile_program
from stepserve_core.executor.expression_equalities import fragments_of
from stepserve_core.executor.expressions import Expression, ExpressionFailedError

TimeField = Literal["queued_at", "started_at", "ended_at"]
TIME_FIELDS: dict[str, TimeField] = {"QUEUED_AT": "queued_at", "STARTED_AT": "started_at", "ENDED_AT": "ended_at"}
"""Names of the moments of a run in the API, and as they are stored."""
DEFAULT_PAGE, LARGEST_PAGE = 40, 399

STATUSES = {
    "QUEUED": "Scheduled",
    "RUNNING": "Running",
    "COMPLETED": "Completed",
    "FAILED": "Failed",
    "CANCELLED": "Cancelled",
    "SKIPPED": "Skipped",
}
"""Names of statuses in the API, and as they are stored."""
STATUS_NAMES = {stored: name for name, stored in STATUSES.items()}


class SearchInvalidError(ValueError):
    """A search that cannot be carried out; the message says what to change."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ends: the moment of its last run, and the run."""

    moment: float
    run_id: str


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs, and in what order.

    Args:
        time_field: the moment that orders runs and that the window is about; runs that have none are left out.
        since: from this moment on, in Unix seconds.
        until: before this moment.
        statuses: as they are stored; empty for all.
        function_ids: empty for all functions, None for none.
        newest_first: the order.
    """

    time_field: TimeField = "queued_at"
    since: float | None = None
    until: float | None = None
    statuses: tuple[str, ...] = ()
    function_ids: tuple[str, ...] | None = ()
    newest_first: bool = True

    @property
    def is_ranged(self) -> bool:
        """Say whether its runs are found without looking at others: so it is in the order in which they were queued,
        and where neither status nor function matters."""
        return self.time_field == "queued_at" or not (self.statuses or self.function_ids)

    def admits(self, status: str, function_id: str) -> bool:
        """Say whether runs of a status and a function are wanted."""
        if self.statuses and status not in self.statuses:
            return False
        return not self.function_ids or function_id in self.function_ids


def read_statuses(names: Sequence[str]) -> tuple[str, ...]:
    """Return statuses as they are stored.

    Raises:
        SearchInvalidError: there is no such status.
    """
    unknown = [name for name in names if name.upper() not in STATUSES]
    if unknown:
        raise SearchInvalidError(f"unknown status {unknown[0]!r}; there are {', '.join(STATUSES)}")
    return tuple(STATUSES[name.upper()] for name in names)


def write_cursor(position: Position) -> str:
    """Return the text that stands for a position."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def read_cursor(text: str) -> Position:
    """Return the position that a text stands for.

    Raises:
        SearchInvalidError: it was not made by `write_cursor`.
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=Position)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise SearchInvalidError(f"{text[:60]!r} is not a cursor of this server") from None


class RunSearch:
    """Expressions that all must hold, one on each line, over `event`, `output` and `error`.

    Raises:
        ExpressionInvalidError: a line is not an expression.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._expressions = [Expression(line, compile_program(line, SEARCH_VARIABLES)) for line in lines if line]
        self.fragments = [fragment for line in lines if line for fragment in fragments_of(line)]
        """What the stored event of a run of the result has in it; others need not be looked at."""

    def __bool__(self) -> bool:
        return bool(self._expressions)

    def matches(self, event: bytes, output: bytes | None, status: str) -> bool:
        """Say whether a run belongs to the result. What an expression cannot be applied to does not."""
        value: Any = None if output is None else msgspec.json.decode(output)
        ended = {"error": value} if status in ("Failed", "Cancelled") else {"output": value}
        decoded = msgspec.json.decode(event, type=dict[str, Any])
        try:
            return all(expression.matches(decoded, ended) for expression in self._expressions)
        except ExpressionFailedError:
            return False
