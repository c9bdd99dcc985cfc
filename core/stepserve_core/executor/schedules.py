"""Schedules of cron triggers: five fields, read and followed as robfig/cron does (executor.md 3.4). No I/O.

Cron libraries for Python follow Debian's cron or their own rules. robfig differs where it shows: "*/2" in a day field
counts as a restriction, Sunday is 0 only, "5/10" means from 5 on, there are no L, W or #, and around daylight-saving
changes a time that the clocks skip does not fire while one that they show twice fires twice.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Mapping
from typing import NamedTuple

MAX_LENGTH = 255
_ZONE_PREFIXES = ("CRON_TZ=", "TZ=")
_PART = re.compile(r"(\*|\?|[0-9A-Za-z]+(?:-[0-9A-Za-z]+)?)(?:/([0-9]+))?")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


class ScheduleInvalidError(ValueError):
    """A text that is no schedule, or one that never fires; the message says which field is wrong."""


class _Bounds(NamedTuple):
    """What one field may hold."""

    name: str
    first: int
    last: int
    names: Mapping[str, int]


class _Field(NamedTuple):
    """The values that one field allows, and whether it leaves the choice open ("*" or "?")."""

    values: frozenset[int]
    is_open: bool


_FIELDS = (
    _Bounds("minute", 0, 59, {}),
    _Bounds("hour", 0, 23, {}),
    _Bounds("day of month", 1, 31, {}),
    _Bounds("month", 1, 12, _MONTHS),
    _Bounds("day of week", 0, 6, _DAYS),
)


class Schedule:
    """A parsed schedule; immutable."""

    __slots__ = ("_days", "_hours", "_minutes", "_months", "_weekdays", "_zone", "text")

    def __init__(self, text: str, zone: datetime.tzinfo, fields: tuple[_Field, ...]) -> None:
        self.text = text
        self._zone = zone
        self._minutes, self._hours, self._days, self._months, self._weekdays = fields

    def next_after(self, moment: float) -> float:
        """Return the first time to fire strictly after `moment`, both in Unix seconds."""
        instant = (int(moment // 60) + 1) * 60
        while True:
            local = datetime.datetime.fromtimestamp(instant, self._zone)
            if not self._is_on_day(local):
                instant = max(self._start_of_next(local), instant + 60)
            elif local.hour not in self._hours.values:
                # Clock time jumps at daylight-saving changes, elapsed time does not; so we look again after the hour.
                instant += (60 - local.minute) * 60
            elif local.minute not in self._minutes.values:
                later = (minute for minute in self._minutes.values if minute > local.minute)
                instant += (min(later, default=60) - local.minute) * 60
            else:
                return float(instant)

    def _is_on_day(self, local: datetime.datetime) -> bool:
        if local.month not in self._months.values:
            return False
        by_day = local.day in self._days.values
        by_weekday = local.isoweekday() % 7 in self._weekdays.values
        if self._days.is_open or self._weekdays.is_open:
            return by_day and by_weekday
        return by_day or by_weekday

    def _start_of_next(self, local: datetime.datetime) -> int:
        """Return the start of the next day, or of the next month where this one is not allowed at all."""
        day = local.date()
        if local.month in self._months.values:
            day += datetime.timedelta(days=1)
        else:
            day = (day.replace(day=28) + datetime.timedelta(days=4)).replace(day=1)
        return int(datetime.datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp())

    def never_fires(self) -> bool:
        """Tell whether no date is allowed, as for 30 February."""
        if self._days.is_open or not self._weekdays.is_open:
            return False
        return min(self._days.values) > max(_LONGEST_MONTHS[month - 1] for month in self._months.values)

    def __repr__(self) -> str:
        """Show the text."""
        return f"Schedule({self.text!r})"


def parse_schedule(text: str) -> Schedule:
    """Read a schedule: "minute hour day-of-month month day-of-week", after "TZ=<name> " where UTC is not meant.

    Raises:
        ScheduleInvalidError: the text is something else, or never fires.
    """
    if len(text) > MAX_LENGTH:
        raise ScheduleInvalidError(f"a schedule may have {MAX_LENGTH} characters at most, this one has {len(text)}")
    zone, rest = _split_zone(text)
    if rest.strip().startswith("@"):
        raise ScheduleInvalidError(
            f"{rest.strip()!r} cannot be used; write five fields, such as '0 * * * *' for @hourly"
        )
    parts = rest.split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(bounds.name for bounds in _FIELDS)
        raise ScheduleInvalidError(f"a schedule has five fields ({names}); {rest.strip()!r} has {len(parts)}")
    schedule = Schedule(
        text, zone, tuple(_parse_field(part, bounds) for part, bounds in zip(parts, _FIELDS, strict=True))
    )
    if schedule.never_fires():
        raise ScheduleInvalidError(f"{text!r} never fires: no month of field 4 has a day of field 3")
    return schedule


def _split_zone(text: str) -> tuple[datetime.tzinfo, str]:
    prefix = next((prefix for prefix in _ZONE_PREFIXES if text.startswith(prefix)), None)
    if prefix is None:
        return datetime.timezone.utc, text
    name, _, rest = text[len(prefix) :].partition(" ")
    try:
        return zoneinfo.ZoneInfo(name), rest
    except (KeyError, ValueError, OSError):
        raise ScheduleInvalidError(f"{name!r} after {prefix} is not a time zone such as Europe/Berlin") from None


def _parse_field(text: str, bounds: _Bounds) -> _Field:
    values, is_open = frozenset[int](), False
    for part in text.split(","):
        part_values, part_is_open = _parse_part(part, text, bounds)
        values, is_open = values | part_values, is_open or part_is_open
    return _Field(values, is_open=is_open)


def _parse_part(part: str, text: str, bounds: _Bounds) -> _Field:
    """Read one part of a list: *, ?, a value or a range, each with a step or without."""
    match = _PART.fullmatch(part)
    if match is None:
        raise _wrong(text, bounds, f"{part!r} is not a value, a range such as 1-5, '*' or a step such as */15")
    span, step_text = match.groups()
    step = int(step_text or "1")
    if step == 0:
        raise _wrong(text, bounds, f"the step of {part!r} is 0")
    if span in ("*", "?"):
        # With a step it is a choice like any other: both day fields count then, whichever fits (robfig).
        return _Field(frozenset(range(bounds.first, bounds.last + 1, step)), is_open=step == 1)
    low, _, high = span.partition("-")
    first = _parse_value(low, text, bounds)
    last = _parse_value(high, text, bounds) if high else bounds.last if step_text else first
    if first > last:
        raise _wrong(text, bounds, f"the range {span!r} ends before it starts")
    return _Field(frozenset(range(first, last + 1, step)), is_open=False)


def _parse_value(word: str, text: str, bounds: _Bounds) -> int:
    value = bounds.names.get(word.lower(), -1)
    if word.isdecimal():
        value = int(word)
    if bounds.first <= value <= bounds.last:
        return value
    names = f" or one of {', '.join(bounds.names).upper()}" if bounds.names else ""
    raise _wrong(text, bounds, f"{word!r} is not a number from {bounds.first} to {bounds.last}{names}")


def _wrong(text: str, bounds: _Bounds, reason: str) -> ScheduleInvalidError:
    return ScheduleInvalidError(f"the field {bounds.name} ({text!r}) is wrong: {reason}")
