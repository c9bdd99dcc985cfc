"""Adding, subtracting, joining: the arithmetic of expressions (executor.md 3.3). No I/O."""

from __future__ import annotations

import datetime
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from stepserve_core.executor.expression_values import (
    LISTS,
    MAPS,
    MISSING,
    NUMBERS,
    ExpressionFailedError,
    Scope,
    Uint,
    class_of,
    from_json,
    kind_of,
    text_of,
)

_INT_RANGE = (-(2**63), 2**63 - 1)
_UINT_RANGE = (0, 2**64 - 1)


def add(left: Any, right: Any, scope: Scope) -> Any:
    """Add, or join: values of different types are joined as text, and a missing one is left out."""
    if left is MISSING or right is MISSING:
        return False if left is right else right if left is MISSING else left
    kind, other = class_of(left), class_of(right)
    if kind in NUMBERS and other in NUMBERS:
        return _calculate("+", left, right)
    if kind is other and kind in (str, bytes):
        scope.weigh(left, right)
        return left + right
    if kind in LISTS and other in LISTS:
        scope.spend(len(left) + len(right))
        return (*_items(left), *_items(right))
    if datetime.timedelta in (kind, other) and {kind, other} <= {datetime.timedelta, datetime.datetime}:
        return _moved(operator.add, left, right)
    if kind is other or kind in LISTS or kind in MAPS or other in LISTS or other in MAPS:
        raise ExpressionFailedError(f"a {kind_of(left)} and a {kind_of(right)} cannot be added")
    scope.weigh(left, right)
    return text_of(left) + text_of(right)


def _items(values: Any) -> Any:
    return values if class_of(values) is tuple else map(from_json, values)


def arithmetic(symbol: str) -> Callable[[Any, Any, Scope], Any]:
    """Return the operator for one of - * / %, which needs numbers (- also takes points in time and durations)."""

    def calculate(left: Any, right: Any, _scope: Scope) -> Any:
        if left is MISSING or right is MISSING:
            return False
        if class_of(left) in NUMBERS and class_of(right) in NUMBERS:
            return _calculate(symbol, left, right)
        kinds = (class_of(left), class_of(right))
        if symbol == "-" and kinds in _SUBTRACTABLE:
            return _moved(operator.sub, left, right)
        raise ExpressionFailedError(f"'{symbol}' cannot be used on a {kind_of(left)} and a {kind_of(right)}")

    return calculate


_SUBTRACTABLE = frozenset(
    {
        (datetime.datetime, datetime.datetime),
        (datetime.datetime, datetime.timedelta),
        (datetime.timedelta, datetime.timedelta),
    }
)


def negate(value: Any) -> Any:
    """Return -value; false for a missing one.

    Raises:
        ExpressionFailedError: not an int or a double, or out of range.
    """
    if value is MISSING:
        return False
    if class_of(value) is float:
        return -value
    if class_of(value) is int:
        return checked_int(-value)
    raise ExpressionFailedError(f"'-' cannot be used on a {kind_of(value)}")


def invert(value: Any) -> bool:
    """Return !value; false for a missing one, as for every function.

    Raises:
        ExpressionFailedError: not a bool.
    """
    if value is MISSING:
        return False
    if class_of(value) is bool:
        return not value
    raise ExpressionFailedError(f"'!' needs true or false, not a {kind_of(value)}")


def checked_int(value: int) -> int:
    """Return `value` where it fits CEL's int.

    Raises:
        ExpressionFailedError: it does not.
    """
    if _INT_RANGE[0] <= value <= _INT_RANGE[1]:
        return value
    raise ExpressionFailedError("the result does not fit an int")


def checked_uint(value: int) -> Uint:
    """Return `value` where it fits CEL's uint.

    Raises:
        ExpressionFailedError: it does not.
    """
    if _UINT_RANGE[0] <= value <= _UINT_RANGE[1]:
        return Uint(value)
    raise ExpressionFailedError("the result does not fit a uint")


def _calculate(symbol: str, left: Any, right: Any) -> Any:
    """Calculate with two numbers: in doubles where one is a double, else in ints, in uints where both are."""
    if class_of(left) is float or class_of(right) is float:
        return _DOUBLE[symbol](float(left), float(right))
    result = _WHOLE[symbol](int(left), int(right))
    return checked_uint(result) if class_of(left) is Uint and class_of(right) is Uint else checked_int(result)


def _divide_whole(left: int, right: int) -> int:
    if right == 0:
        raise ExpressionFailedError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


def _divide_double(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _no_remainder(_left: float, _right: float) -> float:
    raise ExpressionFailedError("'%' cannot be used on a double; convert with int()")


def _moved(move: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return move(left, right)
    except OverflowError:
        raise ExpressionFailedError("the result is outside the years 1 to 9999") from None


_DOUBLE: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide_double,
    "%": _no_remainder,
}
_WHOLE: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide_whole,
    "%": lambda left, right: left - right * _divide_whole(left, right),
}
