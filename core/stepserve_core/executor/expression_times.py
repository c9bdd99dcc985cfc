"""Points in time and durations in expressions: reading, taking apart (executor.md 3.3). No I/O but the clock."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

from stepserve_core import _durations
from stepserve_core.executor.expression_values import ExpressionFailedError

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_EARLIEST_DATE = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
_LONGEST_DATE = 64
_SECONDS_BELOW = 9_999_999_999
_MILLISECONDS_BELOW = 9_999_999_999_999
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ZONE = re.compile(r"(?<= )(?:[A-Z]{3,4}|([+-]\d{4}))(?= |$)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
# RFC 1123, RFC 822, RFC 850 and the forms of Ruby, Unix and ANSI C, each without its zone.
_WITH_ZONE = ("%a, %d %b %Y %H:%M:%S", "%d %b %y %H:%M", "%A, %d-%b-%y %H:%M:%S", "%a %b %d %H:%M:%S %Y")
_WITHOUT_ZONE = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%a %b %d %H:%M:%S %Y")


def date(value: Any) -> datetime.datetime:
    """Read a date leniently: text in one of many forms, or seconds, milliseconds or nanoseconds by size.

    Raises:
        ExpressionFailedError: not a date, or before 2000.
    """
    if isinstance(value, datetime.datetime):
        moment = value
    elif isinstance(value, str):
        moment = _date_from_text(value)
    else:
        moment = _date_from_number(value)
    if moment < _EARLIEST_DATE:
        raise ExpressionFailedError(f"date() takes dates from 2000 on, not {moment:%Y-%m-%d}")
    return moment


def _date_from_number(value: float) -> datetime.datetime:
    number = to_whole(value)
    if number < _SECONDS_BELOW:
        return _after_epoch(seconds=number)
    if number < _MILLISECONDS_BELOW:
        return _after_epoch(milliseconds=number)
    return _after_epoch(microseconds=number // 1000)


def to_whole(value: float) -> int:
    """Return a number without its fraction.

    Raises:
        ExpressionFailedError: infinite or not a number.
    """
    try:
        return int(value)
    except (OverflowError, ValueError):
        raise ExpressionFailedError(f"{value} is not a whole number") from None


def _after_epoch(**parts: int) -> datetime.datetime:
    try:
        return _EPOCH + datetime.timedelta(**parts)
    except OverflowError:
        raise ExpressionFailedError("the point in time is outside the years 1 to 9999") from None


def _date_from_text(text: str) -> datetime.datetime:
    if _RFC_3339.fullmatch(text):
        return timestamp(text)
    text = text[:_LONGEST_DATE]
    for form in _WITHOUT_ZONE:
        if moment := _read(text, form):
            return moment
    if zone := _ZONE.search(text):
        # A name such as EST says nothing certain; like the production server we read it as UTC.
        offset = _clock_offset(zone[1][:3] + ":" + zone[1][3:]) if zone[1] else datetime.timedelta(0)
        rest = (text[: zone.start() - 1] + text[zone.end() :]).strip()
        for form in _WITH_ZONE:
            if moment := _read(rest, form):
                return moment - offset
    raise ExpressionFailedError(f"{text[:50]!r} is not a date that date() can read")


def _read(text: str, form: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, form).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


def timestamp(value: Any) -> datetime.datetime:
    """Return the point in time that RFC 3339 text or a number of seconds since 1970 means.

    Raises:
        ExpressionFailedError: the text is something else, or the point is outside the years 1 to 9999.
    """
    if isinstance(value, datetime.datetime):
        return value
    if not isinstance(value, str):
        return _after_epoch(seconds=int(value))
    match = _RFC_3339.fullmatch(value)
    try:
        if match is None:
            raise ValueError(value)
        day, clock, fraction, zone = match.groups(default="")
        moment = datetime.datetime.fromisoformat(f"{day}T{clock}+00:00")
        microseconds = int(fraction[1:7].ljust(6, "0")) if fraction else 0
        offset = datetime.timedelta(0) if zone in "Zz" else _clock_offset(zone)
        return moment + datetime.timedelta(microseconds=microseconds) - offset
    except (ValueError, OverflowError):
        raise ExpressionFailedError(f"{value[:50]!r} is not a point in time such as 2026-01-31T12:00:00Z") from None


def duration(value: Any) -> datetime.timedelta:
    """Return the duration that text such as "1h30m" means; a minus sign may stand before it.

    Raises:
        ExpressionFailedError: the text is something else.
    """
    if isinstance(value, datetime.timedelta):
        return value
    sign = -1 if value.startswith("-") else 1
    try:
        return sign * datetime.timedelta(milliseconds=_durations.parse(value.removeprefix("-")))
    except (ValueError, OverflowError):
        raise ExpressionFailedError(f"{value[:50]!r} is not a duration such as '90s' or '1h30m'") from None


def now(distance: str = "0s", direction: int = 1) -> datetime.datetime:
    """Return the present point in time, moved by `distance` into the future (1) or the past (-1).

    Raises:
        ExpressionFailedError: `distance` is not a duration, or leads too far.
    """
    try:
        return datetime.datetime.now(datetime.timezone.utc) + direction * duration(distance)
    except OverflowError:
        raise ExpressionFailedError("the point in time is outside the years 1 to 9999") from None


def part_of(read: Callable[[datetime.datetime], int]) -> Callable[..., int]:
    """Return the method that reads one part of a point in time, in UTC or in the zone it is given."""

    def part(moment: datetime.datetime, zone: str = "UTC") -> int:
        try:
            return read(moment.astimezone(_zone(zone)))
        except OverflowError:
            raise ExpressionFailedError("the point in time is outside the years 1 to 9999") from None

    return part


def _zone(name: str) -> datetime.tzinfo:
    if _OFFSET.fullmatch(name):
        return datetime.timezone(_clock_offset(name))
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ExpressionFailedError(f"{name[:50]!r} is not a time zone such as 'Europe/Berlin' or '+02:00'") from None


def _clock_offset(text: str) -> datetime.timedelta:
    match = _OFFSET.fullmatch(text)
    hours, minutes = (int(match[2]), int(match[3])) if match else (24, 0)
    if hours > 23 or minutes > 59 or match is None:
        raise ExpressionFailedError(f"{text!r} is not an offset such as +02:00")
    distance = datetime.timedelta(hours=hours, minutes=minutes)
    return -distance if match[1] == "-" else distance


PARTS_OF_TIMESTAMPS: Mapping[str, Callable[[datetime.datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
}
UNITS_OF_DURATIONS: Mapping[str, datetime.timedelta] = {
    "getHours": datetime.timedelta(hours=1),
    "getMinutes": datetime.timedelta(minutes=1),
    "getSeconds": datetime.timedelta(seconds=1),
    "getMilliseconds": datetime.timedelta(milliseconds=1),
}
