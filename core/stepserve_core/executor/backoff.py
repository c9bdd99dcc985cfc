"""When a failed attempt is tried again (executor.md 6). No I/O."""

from __future__ import annotations

from stepserve_core.executor.moments import parse_date

TABLE = (15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200)
"""Seconds to wait after the first, second, … failed attempt; the last one repeats."""

JITTER = 30.0
SOONEST, LATEST = 1.0, 86_400.0
_LONGEST_NUMBER = 7


def retry_moment(
    attempt: int, now: float, *, retry_after: str | None, retry_interval: float | None, jitter: float
) -> float:
    """Return when to try again.

    Args:
        attempt: the attempt that failed, from 0.
        now: the current moment.
        retry_after: the answer's Retry-After header; it goes before everything else.
        retry_interval: fixed seconds in place of the table, without jitter.
        jitter: a random number in [0, 1).
    """
    asked = parse_retry_after(retry_after, now)
    if asked is not None:
        return asked
    if retry_interval is not None:
        return now + retry_interval
    return now + TABLE[min(attempt, len(TABLE) - 1)] + jitter * JITTER


def parse_retry_after(header: str | None, now: float) -> float | None:
    """Return the moment that a Retry-After header asks for, within 1 second and 24 hours from now.

    Up to seven characters are a number of seconds, longer texts a date. Zero and unreadable values are None.
    """
    text = (header or "").strip()
    try:
        seconds = float(int(text)) if len(text) <= _LONGEST_NUMBER else parse_date(text) - now
    except (ValueError, OverflowError):
        return None
    if len(text) <= _LONGEST_NUMBER and seconds <= 0:
        return None
    return now + min(max(seconds, SOONEST), LATEST)
