"""What the tests of expressions share: an event, the event a wait is compared with, and a check of one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepserve_core.executor.expressions import compile_expression

EVENT: Mapping[str, Any] = {
    "name": "shop/order.created",
    "ts": 1_767_225_600_000,
    "data": {
        "id": 42,
        "price": 9.5,
        "name": "Ada",
        "empty": "",
        "zero": 0,
        "yes": True,
        "no": False,
        "nil": None,
        "tags": ["a", "b", "it's"],
        "numbers": [1, 2, 3.5],
        "items": [{"sku": "x", "count": 1}, {"sku": "y", "count": 2}],
        "address": {"city": "Köln", "zip": "50667"},
        "nothing": [],
        "void": {},
    },
}
AWAITED: Mapping[str, Any] = {"name": "shop/order.paid", "data": {"id": 42, "sku": "y", "key": "city"}}


def value_and_type(text: str) -> tuple[type, object]:
    """Return the value of an expression for the sample events with its type, because True == 1 == 1.0."""
    value = compile_expression(text).evaluate(EVENT, AWAITED)
    return type(value), value
