"""The options of a function: their wire form and the rules they must keep (protocol.md 4.6).

Options are plain values. A value of a wrong type is refused at once, with the words of the official SDK; what else
the server would refuse is said by `problems()` when the function is defined, so that the error can name the function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from stepserve_core import _durations
from stepserve_core._durations import Duration
from stepserve_core._model import Model
from stepserve_core._triggering import DataT_co, Triggering, event_name
from stepserve_core.errors import FunctionConfigInvalidError

if TYPE_CHECKING:
    from stepserve_core._event_type import EventType


class Problem(msgspec.Struct, frozen=True):
    """The name of a field, what is wrong with it, and whether that is its type."""

    field: str
    text: str
    is_type: bool = False


DEFERRED = "inngest/deferred.schedule"
"""The event with which the server starts deferred functions."""

_SECOND, _DAY = 1_000, 86_400_000
# Text, not compiled: most programs have no schedules, and `re` keeps what it has compiled.
_CRON_ZONE = r"(?:CRON_)?TZ=(\S*) "
_CRON_FIELD = r"[0-9A-Za-z*/,?\-]+"
_CRON_DESCRIPTOR = r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)"


class Option(Model, kw_only=True):
    """Base of the options.

    Raises:
        FunctionConfigInvalidError: a value has a wrong type: "max_size: Input should be a valid integer".
    """

    def __post_init__(self) -> None:
        for problem in self.problems():
            if problem.is_type:
                raise FunctionConfigInvalidError(f"{problem.field}: {problem.text}")

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from ()

    @classmethod
    def complaint(cls, text: str) -> FunctionConfigInvalidError:
        """Return the error for a value of which no option can be made."""
        return FunctionConfigInvalidError(text)


class Batch(Option, kw_only=True):
    """Start one run for up to `max_size` events (2 or more), or for those that came within `timeout` (protocol.md 4.6).

    `timeout`: milliseconds, a timedelta or text, 1 second or more. `key`: an expression; each value has its own batch.
    """

    max_size: int
    timeout: Duration | None = None
    key: str | None = None
    if_exp: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _integer("max_size", self.max_size, least=2)
        yield from _duration("timeout", self.timeout, optional=True)
        yield from _texts(self, "key", "if_exp")

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; the server reads a batch's timeout without days and weeks (4.6)."""
        timeout = None if self.timeout is None else f"{_durations.to_seconds(self.timeout)}s"
        return {"maxSize": self.max_size, "timeout": timeout, "key": self.key, "if": self.if_exp}


class Cancel(Option, kw_only=True):
    """Cancel a run when `event`, a name or an `EventType`, comes for which `if_exp` is true (protocol.md 4.6).

    `timeout`: how long after the start of the run; milliseconds, a timedelta or text such as "7d".
    """

    event: str | EventType[Any]
    if_exp: str | None = None
    timeout: Duration | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _texts(self, "event", required=True)
        yield from _texts(self, "if_exp")
        yield from _duration("timeout", self.timeout, optional=True)

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"event": event_name(self.event), "if": self.if_exp, "timeout": _text(self.timeout)}


class Concurrency(Option, kw_only=True):
    """Let at most `limit` steps execute at the same time, per value of the expression `key` (protocol.md 4.6)."""

    limit: int
    key: str | None = None
    scope: Literal["account", "env", "fn"] | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _integer("limit", self.limit, least=0)
        yield from _texts(self, "key")
        yield from _one_of("scope", self.scope, ("account", "env", "fn", None))
        if self.scope in ("account", "env") and not self.key:
            yield Problem("key", f"is needed with scope {self.scope!r}")


class Debounce(Option, kw_only=True):
    """Start after `period` without further events, with the last one; at the latest after `timeout` (protocol.md 4.6).

    Both are milliseconds, timedeltas or text; `period` is 1 second to 7 days.
    """

    period: Duration
    key: str | None = None
    timeout: Duration | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _duration("period", self.period, most=7 * _DAY)
        yield from _texts(self, "key")
        yield from _duration("timeout", self.timeout, optional=True)

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"period": _text(self.period), "key": self.key, "timeout": _text(self.timeout)}


class Priority(Option, kw_only=True):
    """Order runs by the expression `run`: seconds by which a run counts as older (protocol.md 4.6)."""

    run: str

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _texts(self, "run", required=True)


class RateLimit(Option, kw_only=True):
    """Drop events over `limit` in `period`, a second to a day, per value of the expression `key` (protocol.md 4.6)."""

    limit: int
    period: Duration
    key: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _integer("limit", self.limit, least=1)
        yield from _duration("period", self.period, most=_DAY)
        yield from _texts(self, "key")

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"limit": self.limit, "period": _text(self.period), "key": self.key}


class Singleton(Option, kw_only=True):
    """Allow one run at a time, per value of `key`: "skip" the new one, or "cancel" the old one (protocol.md 4.6)."""

    mode: Literal["skip", "cancel"]
    key: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _one_of("mode", self.mode, ("skip", "cancel"))
        yield from _texts(self, "key")


class Throttle(Option, kw_only=True):
    """Delay starts over `limit` in `period`, per value of `key`; `burst` may start at once (protocol.md 4.6)."""

    limit: int
    period: Duration
    key: str | None = None
    burst: int | None = 1

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _integer("limit", self.limit, least=1)
        yield from _duration("period", self.period)
        yield from _texts(self, "key")
        if self.burst is not None:
            yield from _integer("burst", self.burst, least=0)

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"limit": self.limit, "period": _text(self.period), "key": self.key, "burst": self.burst}


class Timeouts(Option, kw_only=True):
    """Cancel runs that have not started, or not finished, in time: ms, timedelta or text (protocol.md 4.6)."""

    start: Duration | None = None
    finish: Duration | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _duration("start", self.start, optional=True)
        yield from _duration("finish", self.finish, optional=True)

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"start": _text(self.start), "finish": _text(self.finish)}


class TriggerCron(Option, Triggering[Mapping[str, Any]], kw_only=True):
    """Start on a schedule: five fields, such as "0 9 * * MON-FRI", after "TZ=Europe/Berlin " if you like.

    Without a time zone it is UTC. `jitter`, from 1 second to 5 minutes, delays each start by some part of it, so that
    many schedules of the same minute do not start together; the same tick always gets the same delay (protocol.md 4.6).
    """

    cron: str
    jitter: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _texts(self, "cron", required=True, longest=255)
        if isinstance(self.cron, str) and self.cron:
            zone = re.match(_CRON_ZONE, self.cron)
            schedule = self.cron[zone.end() if zone else 0 :].strip()
            if zone and not _is_time_zone(zone[1]):
                yield Problem("cron", f"must name a time zone such as Europe/Berlin after TZ=, not {zone[1]!r}")
            fields = schedule.split()
            if re.fullmatch(_CRON_DESCRIPTOR, schedule):
                pass
            elif len(fields) != 5 or not all(re.fullmatch(_CRON_FIELD, field) for field in fields):
                yield Problem("cron", f"must have five fields (minute hour day month weekday), not {self.cron!r}")
        if self.jitter is not None:
            for problem in _duration("jitter", self.jitter, most=300_000):
                yield msgspec.structs.replace(problem, is_type=not isinstance(self.jitter, str))

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"cron": self.cron, "jitter": _text(self.jitter)}


class TriggerEvent(Option, Triggering[DataT_co], kw_only=True):
    """Start for each event of this name, or `EventType`, for which `expression` is true (protocol.md 4.6)."""

    event: str | EventType[DataT_co]
    expression: str | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield what the server would refuse."""
        yield from _texts(self, "event", required=True, longest=255)
        yield from _texts(self, "expression")

    def wire(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"event": event_name(self.event), "expression": self.expression}


class TriggerDeferred(Option, Triggering[Mapping[str, Any]], kw_only=True):
    """Start where another function defers this one with `step.defer` (protocol.md 13.6)."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; the function adds its id."""
        return {"event": DEFERRED}


Trigger = TriggerCron | TriggerDeferred | TriggerEvent[Any]


def strip_nulls(value: Any) -> Any:
    """Return `value` without None in objects and arrays, at any depth (4.4)."""
    if isinstance(value, dict):
        return {key: strip_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [strip_nulls(item) for item in value if item is not None]
    return value


def _is_time_zone(name: str) -> bool:
    """Say whether the system knows a time zone. Where it knows none at all, the server finds out."""
    import zoneinfo  # noqa: PLC0415 - only schedules with a time zone pay for importing it

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return not zoneinfo.available_timezones()
    return True


def _text(duration: Duration | None) -> str | None:
    return None if duration is None else _durations.to_text(duration)


def _integer(field: str, value: object, *, least: int) -> Iterator[Problem]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield Problem(field, "Input should be a valid integer", is_type=True)
    elif value < least:
        yield Problem(field, f"must be at least {least}, not {value}")


def _one_of(field: str, value: object, allowed: tuple[str | None, ...]) -> Iterator[Problem]:
    if value not in allowed:
        *most, last = [repr(item) for item in allowed if item]
        yield Problem(field, f"Input should be {', '.join(most)} or {last}", is_type=True)


def _duration(field: str, value: object, *, optional: bool = False, most: int | None = None) -> Iterator[Problem]:
    if value is None and optional:
        return
    if not isinstance(value, Duration) or isinstance(value, bool):
        yield Problem(field, "Input should be a valid integer", is_type=True)
        return
    try:
        _durations.to_text(value)
    except FunctionConfigInvalidError as error:
        yield Problem(field, str(error), is_type=isinstance(value, str))
        return
    if most is not None and _durations.to_milliseconds(value) > most:
        yield Problem(field, f"must be at most {_durations.to_text(most)}")


def _texts(option: Option, *fields: str, required: bool = False, longest: int | None = None) -> Iterator[Problem]:
    for field in fields:
        value = event_name(getattr(option, field))
        if value is None and not required:
            continue
        if not isinstance(value, str):
            yield Problem(field, "Input should be a valid string", is_type=True)
        elif not value.strip():
            yield Problem(field, "must not be empty")
        elif longest is not None and len(value) > longest:
            yield Problem(field, f"must be at most {longest} characters long")
