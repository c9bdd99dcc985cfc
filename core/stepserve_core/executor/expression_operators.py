"""The operators of expressions and their leniency towards missing and null values (executor.md 3.3). No I/O."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping
from typing import Any

from stepserve_core.executor.expression_arithmetic import add, arithmetic
from stepserve_core.executor.expression_values import (
    CHEAP_LENGTH,
    LISTS,
    MAPS,
    MISSING,
    NUMBERS,
    SCALARS,
    ExpressionFailedError,
    MapLiteral,
    Scope,
    Uint,
    class_of,
    from_json,
    kind_of,
)

Operator = Callable[[Any, Any, Scope], Any]

_WITH_FALSY_VALUE = frozenset({bool, str, int, Uint, float})
_ZEROS: Mapping[type, Any] = {
    bool: False,
    int: 0,
    Uint: 0,
    float: 0.0,
    str: "",
    bytes: b"",
    datetime.datetime: datetime.datetime.min.replace(tzinfo=datetime.timezone.utc),
    datetime.timedelta: datetime.timedelta(0),
}


def truthy(value: Any) -> bool:
    """Tell whether `value` counts as true: missing, null, false, "" and 0 do not, everything else does."""
    if class_of(value) in _WITH_FALSY_VALUE:
        return bool(value)
    return value is not MISSING and value is not None


def select(container: Any, key: Any) -> Any:
    """Return the field or element `key` of `container`; MISSING where the path leads nowhere."""
    kind = class_of(container)
    if kind is dict:
        return from_json(container.get(key, MISSING)) if class_of(key) is str else MISSING
    if kind is MapLiteral:
        return container.get(key)
    if kind not in LISTS or class_of(key) not in NUMBERS or key != key // 1 or not 0 <= key < len(container):
        return MISSING
    item = container[int(key)]
    return from_json(item) if kind is list else item


def elements(container: Any, scope: Scope) -> list[Any] | tuple[Any, ...]:
    """Return what a macro goes over: the items of a list or the keys of a map.

    Raises:
        ExpressionFailedError: `container` is neither, or too long.
    """
    kind = class_of(container)
    if kind not in LISTS and kind not in MAPS:
        raise ExpressionFailedError(f"a macro goes over a list or a map, not over a {kind_of(container)}")
    scope.spend(len(container))
    if kind is tuple:
        return tuple(container)
    return [from_json(item) for item in container]


def equal(left: Any, right: Any, scope: Scope) -> bool:
    """Tell whether two values are equal; different types are not, numbers of any kind are compared by value.

    A missing value equals null and nothing else, not even another missing one.
    """
    kind = class_of(left)
    if kind is class_of(right) and kind in SCALARS:
        if kind is str and len(left) >= CHEAP_LENGTH:
            scope.weigh(left)
        return bool(left == right)
    if left is MISSING or right is MISSING:
        return (left is None) is not (right is None)
    if kind in NUMBERS and class_of(right) in NUMBERS:
        return bool(left == right)
    if kind in LISTS and class_of(right) in LISTS:
        return _equal_lists(left, right, scope)
    if kind in MAPS and class_of(right) in MAPS:
        return _equal_maps(left, right, scope)
    return False


def _equal_lists(left: Any, right: Any, scope: Scope) -> bool:
    if len(left) != len(right):
        return False
    scope.spend(len(left))
    return all(equal(one, other, scope) for one, other in zip(left, right, strict=True))


def _equal_maps(left: Any, right: Any, scope: Scope) -> bool:
    if len(left) != len(right):
        return False
    scope.spend(len(left))
    return all(has_key(right, key) and equal(select(left, key), select(right, key), scope) for key in left)


def unequal(left: Any, right: Any, scope: Scope) -> bool:
    """Tell whether two values differ: the opposite of `equal`, for missing ones too."""
    return not equal(left, right, scope)


def has_key(container: Any, key: Any) -> bool:
    """Tell whether a map has `key`."""
    return select(container, key) is not MISSING


def ordering(holds: Callable[[Any, Any], bool]) -> Operator:
    """Return the operator for one of < <= > >=.

    A missing value stands below every other; null stands for the zero of the other side's type.
    """

    def compare(left: Any, right: Any, scope: Scope) -> bool:
        if left is MISSING or right is MISSING:
            return left is not right and holds(left is not MISSING, right is not MISSING)
        if left is None:
            left = _ZEROS.get(class_of(right))
        elif right is None:
            right = _ZEROS.get(class_of(left))
        kind = class_of(left)
        if kind in NUMBERS and class_of(right) in NUMBERS:
            return holds(left, right)
        if left is None and right is None:
            return holds(0, 0)
        if kind is not class_of(right) or kind not in _ZEROS:
            raise ExpressionFailedError(f"a {kind_of(left)} cannot be ordered against a {kind_of(right)}")
        scope.weigh(left)
        return holds(left, right)

    return compare


def contained(item: Any, container: Any, scope: Scope) -> bool:
    """Tell whether `item` is an element of a list or a key of a map; false where either is missing."""
    kind = class_of(container)
    if item is MISSING or container is MISSING:
        return False
    if kind in MAPS:
        return has_key(container, item)
    if kind not in LISTS:
        raise ExpressionFailedError(f"'in' needs a list or a map on its right, not a {kind_of(container)}")
    if class_of(item) is str:  # Only text equals text, so Python may search; numbers could meet a bool.
        scope.weigh(container)
        return item in container
    scope.spend(len(container))
    return any(equal(item, element, scope) for element in container)


OPERATORS: Mapping[str, Operator] = {
    "==": equal,
    "!=": unequal,
    "<": ordering(operator.lt),
    "<=": ordering(operator.le),
    ">": ordering(operator.gt),
    ">=": ordering(operator.ge),
    "in": contained,
    "+": add,
    "-": arithmetic("-"),
    "*": arithmetic("*"),
    "/": arithmetic("/"),
    "%": arithmetic("%"),
}
