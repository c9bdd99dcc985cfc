"""A run's timeline as a table for people, and as plain values for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stepserve_core.cli.timeline import Attempt, Run, Step

_COLOURS = {"Completed": "green", "Failed": "red", "Cancelled": "yellow"}
_UNFINISHED_COLOUR = "cyan"
_PLAIN_WIDTH = 160
_UNITS: tuple[tuple[float, int, str, int, str], ...] = (
    (3600, 60, "min", 1, "s"),
    (86_400, 3600, "h", 60, "min"),
    (float("inf"), 86_400, "d", 3600, "h"),
)
"""Below how many seconds a pair of units is used; each with its own seconds."""


def make_console(*, stderr: bool = False) -> Console:
    """Return where to write. Into files and pipes lines are wide, as there is no window that they must fit."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def print_timeline(console: Console, run: Run) -> None:
    """Print a run: a heading, a row per step and attempt, and how it ended."""
    console.print(_heading(run), soft_wrap=True)
    console.print(_table(run))
    console.print()


def show_timeline(run: Run) -> RenderableType:
    """Return a run as something to show in a place that is drawn again and again."""
    return Group(_heading(run), _table(run), "")


def _heading(run: Run) -> Text:
    heading = Text.assemble(
        (run.function, "bold"), "  ", status_text(run.status), f"  {duration_text(run.duration_ms)}"
    )
    return heading.append(f"  run {run.id}  started by {run.event}", style="dim")


def _table(run: Run) -> Padding:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("step", "kind"):
        table.add_column(title, no_wrap=True)
    for title in ("attempt", "duration"):
        table.add_column(title, no_wrap=True, justify="right")
    # Only a column that may wrap gives way where the window is narrow; its texts are cut instead.
    table.add_column("result")
    for row in _rows(run):
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _rows(run: Run) -> Iterator[tuple[str | Text, ...]]:
    for step in run.steps:
        yield from _step_rows(step)
    for attempt in run.attempts[:-1]:
        yield ("(function)", "", str(attempt.number), duration_text(attempt.duration_ms), _error_text(attempt.error))
    result = _error_text(run.output) if run.status == "Failed" else json_text(run.output)
    last = run.attempts[-1] if run.attempts else Attempt(1, run.status)
    yield (
        "(end)",
        "",
        str(last.number),
        duration_text(last.duration_ms),
        result if run.has_ended else status_text(run.status),
    )


def _step_rows(step: Step) -> Iterator[tuple[str | Text, ...]]:
    result = _error_text(step.error) if step.error is not None else json_text(step.output)
    if step.status not in ("Completed", "Failed"):
        result = _doing_text(step)
    if not step.attempts:
        yield (step.name, step.kind, "", duration_text(step.duration_ms), result)
        return
    name, kind = step.name, step.kind
    for attempt in step.attempts:
        shown = result if attempt is step.attempts[-1] and attempt.error is None else _error_text(attempt.error)
        yield (name, kind, str(attempt.number), duration_text(attempt.duration_ms), shown)
        name = kind = ""
    if step.ended_at is None and step.attempts[-1].error is not None:
        yield ("", "", str(step.attempts[-1].number + 1), "", _doing_text(step))


def _doing_text(step: Step) -> Text:
    """Say what a step does that has not ended, for what, and how long."""
    left = "" if step.until is None else duration_text(max(0.0, step.until - time.time()) * 1000)
    if step.attempts and left:
        return _result_text(f"Retries in {left}", _UNFINISHED_COLOUR)
    what = f"{step.status} for {step.waits_for}" if step.waits_for else step.status
    return _result_text(f"{what}, {left} left" if left else what, _UNFINISHED_COLOUR)


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=_COLOURS.get(status, _UNFINISHED_COLOUR))


def _error_text(error: Any) -> Text:
    if isinstance(error, dict) and "message" in error:
        return _result_text(f"{error.get('name', 'Error')}: {error['message']}", "red")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - JSON
    return _result_text(json.dumps(error, ensure_ascii=False), "red")


def json_text(value: Any) -> Text:
    """Return a value as JSON that is cut where there is no room for it; nothing where there is none."""
    return _result_text("" if value is None else json.dumps(value, ensure_ascii=False))


def _result_text(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def duration_text(duration: float | None) -> str:
    """Return milliseconds in a unit that is easy to read; an ellipsis while it goes on."""
    if duration is None:
        return "…"
    if duration < 1000:
        return f"{duration:.0f} ms"
    seconds = duration / 1000
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    _, size, unit, part, rest = next(units for units in _UNITS if seconds < units[0])
    left = int(seconds) % size // part
    return f"{int(seconds) // size} {unit}" + (f" {left} {rest}" if left else "")


def run_values(run: Run) -> dict[str, Any]:
    """Return a run as JSON-ready values. Times are Unix seconds, durations milliseconds."""
    return {
        "run_id": run.id,
        "function": run.function,
        "event": run.event,
        "status": run.status,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_ms": run.duration_ms,
        "output": run.output,
        "attempts": [_attempt_values(attempt) for attempt in run.attempts],
        "steps": [_step_values(step) for step in run.steps],
    }


def _step_values(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind,
        "status": step.status,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "duration_ms": step.duration_ms,
        "output": step.output,
        "error": step.error,
        "until": step.until,
        "waits_for": step.waits_for,
        "attempts": [_attempt_values(attempt) for attempt in step.attempts],
    }


def _attempt_values(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "status": attempt.status,
        "duration_ms": attempt.duration_ms,
        "error": attempt.error,
    }
