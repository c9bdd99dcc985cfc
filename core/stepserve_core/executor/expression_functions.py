"""The functions and methods of expressions, by the types they take (executor.md 3.3)."""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from stepserve_core.executor import expression_times as times
from stepserve_core.executor.expression_arithmetic import checked_int, checked_uint
from stepserve_core.executor.expression_values import (
    ExpressionFailedError,
    ExpressionInvalidError,
    MapLiteral,
    Scope,
    TypeName,
    Uint,
    class_of,
    kind_of,
    text_of,
)


class Function(NamedTuple):
    """A function: how it is called, how many arguments it takes and, unless it takes all, of which types."""

    call: Callable[..., Any]
    arities: frozenset[int]
    overloads: frozenset[tuple[type, ...]] | None
    counts_steps: bool = False
    """It is called with the scope after its arguments."""


def _function(call: Callable[..., Any], *overloads: tuple[type, ...]) -> Function:
    return Function(call, frozenset(map(len, overloads)), frozenset(overloads))


def _int(value: Any) -> int:
    if isinstance(value, datetime):
        return int((value - times.timestamp(0)) // timedelta(seconds=1))
    return checked_int(_whole(value))


def _uint(value: Any) -> Uint:
    return checked_uint(_whole(value))


def _whole(value: Any) -> int:
    return _parse(int, value) if isinstance(value, str) else times.to_whole(value)


def _parse(kind: type[Any], text: str) -> Any:
    try:
        # Python reads more than CEL does: spaces around, underscores between digits, digits of other scripts.
        if text.strip() != text or "_" in text or not text.isascii():
            raise ValueError(text)
        return kind(text)
    except ValueError:
        raise ExpressionFailedError(f"{text[:50]!r} is not a number") from None


def _double(value: Any) -> float:
    return float(_parse(float, value)) if isinstance(value, str) else float(value)


_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in _BOOLS:
        raise ExpressionFailedError(f"{value[:50]!r} is neither true nor false")
    return _BOOLS[value]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _b64decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def json_parse(text: str) -> dict[str, Any]:
    """Parse a JSON object; anything else gives an empty map."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if class_of(value) is dict else {}


_LONGEST_PATTERN = 1000
_REGEX_MEMORY = 1 << 20
_PATTERN_WORK_IN_A_STEP = 256


@functools.lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> tuple[Callable[[bytes], Any], int]:
    """Return a regular expression's search and its size, the work that each byte of the text may need.

    CEL's regular expressions are RE2's: it takes time linear in the text, whatever the pattern.

    Raises:
        ExpressionInvalidError: not a regular expression, or too long, or google-re2 is not installed.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise ExpressionInvalidError(f"a regular expression may have {_LONGEST_PATTERN} characters at most")
    try:
        re2: Any = importlib.import_module("re2")
    except ImportError:
        raise ExpressionInvalidError("matches() needs the package google-re2; it is not installed") from None
    options = re2.Options()
    options.log_errors, options.never_capture, options.max_mem = False, True, _REGEX_MEMORY
    try:
        compiled = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ExpressionInvalidError(f"{pattern[:50]!r} is not a regular expression: {message}") from None
    return compiled.search, compiled.programsize


def _matches(text: str, pattern: str, scope: Scope) -> bool:
    try:
        search, size = compile_pattern(pattern)
    except ExpressionInvalidError as error:
        raise ExpressionFailedError(str(error)) from None
    scope.spend(len(text) * size // _PATTERN_WORK_IN_A_STEP)
    return search(text.encode("utf-8", "replace")) is not None


def _units(unit: timedelta) -> Callable[[timedelta], int]:
    # Whole units towards zero, as Go counts them.
    return lambda value: value // unit if value >= timedelta(0) else -(-value // unit)


def _part(name: str) -> Function:
    """Return a method that exists for points in time and, for hours and shorter parts, for durations."""
    of_timestamp = times.part_of(times.PARTS_OF_TIMESTAMPS[name])
    overloads: list[tuple[type, ...]] = [(datetime,), (datetime, str)]
    if name not in times.UNITS_OF_DURATIONS:
        return _function(of_timestamp, *overloads)
    of_duration = _units(times.UNITS_OF_DURATIONS[name])

    def read(value: Any, *zone: str) -> int:
        return of_duration(value) if isinstance(value, timedelta) else of_timestamp(value, *zone)

    return _function(read, *overloads, (timedelta,))


def _dyn(value: Any) -> Any:
    return value


def _type(value: Any) -> TypeName:
    return TypeName(kind_of(value))


def _any(call: Callable[..., Any]) -> Function:
    return Function(call, frozenset({1}), None)


def _each(kinds: Iterable[type]) -> list[tuple[type, ...]]:
    return [(kind,) for kind in kinds]


_SIZE = _function(len, *_each((str, bytes, list, tuple, dict, MapLiteral)))
_MATCHES = _function(_matches, (str, str))._replace(counts_steps=True)

FUNCTIONS: Mapping[str, Function] = {
    "size": _SIZE,
    "matches": _MATCHES,
    "int": _function(_int, *_each((int, Uint, float, str, datetime))),
    "uint": _function(_uint, *_each((int, Uint, float, str))),
    "double": _function(_double, *_each((int, Uint, float, str))),
    "string": _function(text_of, *_each((str, bool, int, Uint, float, bytes, datetime, timedelta))),
    "bytes": _function(_bytes, (bytes,), (str,)),
    "bool": _function(_bool, (bool,), (str,)),
    "timestamp": _function(times.timestamp, (str,), (int,), (datetime,)),
    "duration": _function(times.duration, (str,), (timedelta,)),
    "dyn": _any(_dyn),
    "type": _any(_type),
    "lowercase": _function(str.lower, (str,)),
    "uppercase": _function(str.upper, (str,)),
    "b64decode": _function(_b64decode, (str,)),
    "json_parse": _function(json_parse, (str,)),
    "date": _function(times.date, *_each((str, int, Uint, float, datetime))),
    "now": _function(times.now, ()),
    "now_plus": _function(times.now, (str,)),
    "now_minus": _function(functools.partial(times.now, direction=-1), (str,)),
}
METHODS: Mapping[str, Function] = {
    "size": _SIZE,
    "matches": _MATCHES,
    "contains": _function(str.__contains__, (str, str)),
    "startsWith": _function(str.startswith, (str, str)),
    "endsWith": _function(str.endswith, (str, str)),
    **{name: _part(name) for name in times.PARTS_OF_TIMESTAMPS},
}
