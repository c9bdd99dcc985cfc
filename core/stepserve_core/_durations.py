"""Durations and points in time as the wire writes them (protocol.md section 7). No I/O."""

from __future__ import annotations

import datetime
import math
import re

from stepserve_core.errors import FunctionConfigInvalidError

Duration = int | datetime.timedelta | str
"""Milliseconds, a timedelta, or text such as "90s", "3d" or "1h30m"."""

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_MILLISECONDS = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
    "us": 1e-3,
    "µs": 1e-3,
    "ns": 1e-6,
}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|[smhdw])"


def to_milliseconds(duration: Duration) -> int:
    """Return `duration` in whole milliseconds; text such as "1h30m" is read as the server reads it.

    Raises:
        ValueError: the text is not a duration.
        TypeError: it is neither text, an int nor a timedelta.
    """
    if isinstance(duration, str):
        return parse(duration)
    if isinstance(duration, datetime.timedelta):
        return duration // datetime.timedelta(milliseconds=1)
    if isinstance(duration, int) and not isinstance(duration, bool):
        return duration
    raise TypeError(
        f"a duration is an int (milliseconds), a timedelta or text such as '3d', not {type(duration).__name__}"
    )


def to_text(duration: Duration) -> str:
    """Return the wire form: one number and the largest of w, d, h, m, s that divides evenly (7.1).

    Raises:
        FunctionConfigInvalidError: see `to_seconds`.
    """
    seconds = to_seconds(duration)
    unit, size = next((unit, size) for unit, size in _SECONDS.items() if seconds % size == 0)
    return f"{seconds // size}{unit}"


def to_seconds(duration: Duration) -> int:
    """Return `duration` in seconds.

    Raises:
        FunctionConfigInvalidError: shorter than a second, or not a whole number of seconds, or not a duration.
    """
    try:
        milliseconds = to_milliseconds(duration)
    except (TypeError, ValueError) as error:
        raise FunctionConfigInvalidError(str(error)) from None
    if milliseconds < 1000:
        raise FunctionConfigInvalidError("duration must be at least 1 second")
    if milliseconds % 1000:
        raise FunctionConfigInvalidError("duration must be a whole number of seconds")
    return milliseconds // 1000


def parse(text: str) -> int:
    """Return the milliseconds of text such as "1w2d3h4m5s6ms", as the server reads it.

    Raises:
        ValueError: `text` is not a duration.
    """
    position, total = 0, 0.0
    for part in re.finditer(_PART, text):
        if part.start() != position:
            break
        total += float(part[1]) * _MILLISECONDS[part[2]]
        position = part.end()
    if position == 0 or position != len(text) or math.isinf(total):
        raise ValueError(
            f"{text!r} is not a duration; write a number and a unit of w d h m s ms, such as '90s' or '1h30m'"
        )
    return int(total)


def to_iso(moment: datetime.datetime) -> str:
    """Return `moment` in UTC with milliseconds, truncated: 2024-01-02T01:04:05.999Z (7.3).

    A moment without time zone is taken as local time.
    """
    utc = moment.astimezone(datetime.timezone.utc)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
