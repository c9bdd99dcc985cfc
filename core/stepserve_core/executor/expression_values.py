"""The values that expressions calculate with, their errors, and the budget of one evaluation (executor.md 3.3).

A CEL int is an `int`, a uint a `Uint`, a double a `float`; timestamps are aware datetimes, durations timedeltas.
Lists and maps that came as JSON are plain `list` and `dict`, and their numbers are read as doubles; those that an
expression builds are `tuple` and `MapLiteral`, and keep the kinds of their numbers. No I/O.
"""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepserve_core._canonical import canonicalize

class_of: Callable[[object], type[object]] = type
"""The class of a value. Values are told apart by their exact class: to Python True is an int, to expressions not."""


class ExpressionInvalidError(ValueError):
    """A text that is no expression; the message says where and what is allowed there."""


class ExpressionFailedError(ValueError):
    """An expression that cannot be evaluated for the given event."""


class Uint(int):
    """CEL's unsigned integer, as `5u` writes it."""


class TypeName(NamedTuple):
    """A type as a value: what `type(x)` gives and what the name `string` means."""

    name: str


class Missing:
    """The kind of `MISSING`."""

    __slots__ = ()


MISSING: Final = Missing()
"""The value of an attribute path that leads nowhere."""


class MapLiteral:
    """A map built by an expression; its keys keep their kinds, and `true` is another key than `1`."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[Any, Any]]) -> None:
        """Take the pairs of keys and values.

        Raises:
            ExpressionFailedError: a key is repeated, or is neither text, int, uint nor bool.
        """
        self._entries: dict[tuple[bool, Any], Any] = {}
        for key, value in entries:
            if class_of(key) not in _KEY_KINDS:
                raise ExpressionFailedError(f"a {kind_of(key)} cannot be the key of a map")
            if (class_of(key) is bool, key) in self._entries:
                raise ExpressionFailedError(f"the map has the key {text_of(key)} twice")
            self._entries[class_of(key) is bool, key] = value

    def get(self, key: Any) -> Any:
        """Return the value under `key`, MISSING where there is none."""
        return self._entries.get((class_of(key) is bool, key), MISSING) if class_of(key) in SCALARS else MISSING

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the keys."""
        return (key for _, key in self._entries)


class Scope:
    """What one evaluation reads, and how much work it may still do."""

    __slots__ = ("awaited", "bound_event", "event", "locals", "steps_left")

    def __init__(self, event: Any, awaited: Any, *, bound_event: Any, locals_count: int, steps: int) -> None:
        self.event = event
        self.bound_event = bound_event
        self.awaited = awaited
        self.locals: list[Any] = [None] * locals_count
        self.steps_left = steps

    def spend(self, steps: int) -> None:
        """Count `steps` of work, each about as long as one operator takes.

        Raises:
            ExpressionFailedError: the evaluation has done more than it may.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            raise ExpressionFailedError("the expression takes too long; it goes over too much data")

    def weigh(self, *values: Any) -> None:
        """Count the work of one pass over texts and lists; a short one costs nothing."""
        for value in values:
            if class_of(value) in SIZED and len(value) >= CHEAP_LENGTH:
                self.spend(len(value) // CHEAP_LENGTH)


CHEAP_LENGTH: Final = 64
NUMBERS = frozenset({int, float, Uint})
LISTS = frozenset({list, tuple})
MAPS = frozenset({dict, MapLiteral})
SIZED = frozenset({str, bytes, list, tuple})
SCALARS = frozenset({type(None), bool, int, Uint, float, str, bytes, TypeName, datetime.datetime, datetime.timedelta})
_KEY_KINDS = frozenset({str, int, Uint, bool})
_KINDS: Mapping[type, str] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    MapLiteral: "map",
    datetime.datetime: "google.protobuf.Timestamp",
    datetime.timedelta: "google.protobuf.Duration",
    TypeName: "type",
    Missing: "missing attribute",
}
TYPE_NAMES: Mapping[str, TypeName] = {
    name: TypeName(name)
    for name in ("null_type", "bool", "int", "uint", "double", "string", "bytes", "list", "map", "type")
}
"""The types that have a name in expressions: `type(event.data.x) == string`."""


def kind_of(value: Any) -> str:
    """Return CEL's name for the type of `value`."""
    return _KINDS.get(class_of(value), class_of(value).__name__)


def from_json(value: Any) -> Any:
    """Return a value drawn from JSON as expressions see it: every number is a double."""
    if class_of(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def to_json(value: Any) -> Any:
    """Return a result as JSON carries it; a missing attribute is false (executor.md 3.3)."""
    return False if value is MISSING else _plain(value)


def _plain(value: Any) -> Any:
    kind = class_of(value)
    if kind is tuple:
        return [_plain(item) for item in value]
    if kind is MapLiteral:
        return {text_of(key): _plain(value.get(key)) for key in value}
    if kind is Uint:
        return int(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind in (datetime.datetime, datetime.timedelta, TypeName):
        return text_of(value)
    return None if value is MISSING else value


def text_of(value: Any) -> str:
    """Return the text of a scalar, as `string(x)` gives it; numbers are written as JSON writes them.

    Raises:
        ExpressionFailedError: `value` is a list or a map, or bytes that are not UTF-8.
    """
    write = _TEXTS.get(class_of(value))
    if write is None:
        raise ExpressionFailedError(f"a {kind_of(value)} has no text")
    return write(value)


def _number_text(value: float) -> str:
    return canonicalize(repr(value).encode()).decode() if math.isfinite(value) else _NOT_FINITE[str(value)]


def _timestamp_text(value: datetime.datetime) -> str:
    return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ExpressionFailedError("the bytes are not UTF-8 text") from None


_NOT_FINITE = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_TEXTS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    Uint: lambda value: str(int(value)),
    float: _number_text,
    str: lambda value: value,
    bytes: _utf8,
    datetime.datetime: _timestamp_text,
    datetime.timedelta: lambda value: f"{_number_text(value.total_seconds())}s",
    TypeName: lambda value: value.name,
}
