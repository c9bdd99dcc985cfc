"""What the log says of answers: attempts that failed and come again, and what failed for good."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from stepserve_core.executor.claims import Claim
from stepserve_core.executor.decisions import Decision, EndRun, FailAttempt, FinishStep, RetryItem

_log = logging.getLogger(__name__)

_LONGEST = 300
"""Characters of an error that a line shows: the dashboard and the command line have all of it."""


def log_failures(item: Claim, decisions: Sequence[Decision], now: float) -> None:
    """Log what failed, one line each: a run as a warning, what is tried again as information."""
    for level, text in describe_failures(item, decisions, now):
        _log.log(level, "%s", text)


def describe_failures(item: Claim, decisions: Sequence[Decision], now: float) -> Iterator[tuple[int, str]]:
    """Yield levels and lines. No I/O."""
    slug, run_id = item.function.slug, item.run.id
    for decision in decisions:
        match decision:
            case FailAttempt():
                what = f"step {decision.step.name!r}" if decision.step is not None else "the function"
                again = next((other.at for other in decisions if isinstance(other, RetryItem)), now)
                attempt = f"attempt {item.work.attempt + 1} of {item.run.max_attempts}"
                when = f"the next one comes in {max(0.0, again - now):.3g} s"
                yield (
                    logging.INFO,
                    f"{slug}: {attempt} of {what} failed, {when}: {_text(decision.error)} (run {run_id})",
                )
            case FinishStep(failed=True):
                failed = f"{slug}: step {decision.step.name!r} failed for good"
                yield logging.INFO, f"{failed}: {_text(decision.memo)} (run {run_id})"
            case EndRun(failure=failure) if failure is not None:
                yield logging.WARNING, f"{slug} failed: {_text(failure.output)} (run {run_id})"
            case _:
                pass


def _text(error: bytes) -> str:
    """Return an error on one line; what an app answers must not be able to write lines of its own."""
    value: Any = msgspec.json.decode(error)
    if isinstance(value, dict) and "error" in value:
        value = value["error"]
    if isinstance(value, dict):
        value = ": ".join(str(value[key]) for key in ("name", "message") if value.get(key))
    text = str(value)
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}…"
