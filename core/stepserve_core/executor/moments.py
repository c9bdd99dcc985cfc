"""Points in time as apps write them: durations, RFC 3339, RFC 1123 (executor.md 5.5, 5.6 and 6). No I/O."""

from __future__ import annotations

import datetime
import email.utils
import re

from stepserve_core._durations import parse

_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")


def parse_moment(text: str, now: float) -> float:
    """Return the moment that `text` names: a duration from `now`, or a date.

    Raises:
        ValueError: it is neither.
    """
    try:
        return now + parse(text) / 1000
    except ValueError:
        return parse_date(text)


def parse_date(text: str) -> float:
    """Return the moment of a date in RFC 3339 or RFC 1123; without a zone it is UTC.

    Raises:
        ValueError: it is not a date.
    """
    iso = _FRACTION.sub(r"\1", text.strip())
    try:
        moment = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", _pad_fraction(iso)))
    except ValueError:
        moment = _parse_rfc1123(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp()


def to_rfc3339(moment: float) -> str:
    """Return `moment` in UTC with milliseconds, as 2024-01-02T03:04:05.678Z."""
    milliseconds = round(moment * 1000)
    date = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.timezone.utc)
    return f"{date:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def to_whole_seconds(moment: float) -> str:
    """Return `moment` in UTC without fractions, as 2024-01-02T03:04:05Z."""
    date = datetime.datetime.fromtimestamp(int(moment), datetime.timezone.utc)
    return f"{date:%Y-%m-%dT%H:%M:%SZ}"


def _pad_fraction(text: str) -> str:
    # Python 3.10 reads fractions of three or six digits only.
    match = re.search(r"\.([0-9]{1,6})", text)
    if match is None:
        return text
    return f"{text[: match.start()]}.{match[1].ljust(6, '0')}{text[match.end() :]}"


def _parse_rfc1123(text: str) -> datetime.datetime:
    try:
        return email.utils.parsedate_to_datetime(text)
    except (TypeError, IndexError):
        raise ValueError(f"{text!r} is neither a duration nor a date") from None
    except ValueError:
        raise ValueError(f"{text!r} is neither a duration nor a date") from None
