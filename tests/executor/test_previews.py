"""The few fields of an event by which people tell runs apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepserve_core.executor.previews import preview


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        (None, {}),
        ([1, 2], {}),
        ({"order_id": "A-1", "amount": 2.5, "paid": False}, {"order_id": "A-1", "amount": 2.5, "paid": False}),
        ({"amount": 1, "bad": True, "city": "Rome", "day": 2, "orderId": "A-1"}, ["orderId", "amount", "bad", "city"]),
        ({"valid": 1, "id": 2, "user_email": 3}, ["id", "user_email", "valid"]),
        ({"lines": [1], "address": {"city": "Rome"}, "note": None, "_inngest": "x", "n": 1}, {"n": 1}),
        ({"note": "x" * 60}, {"note": "x" * 60}),
        ({"note": "x" * 61}, {"note": "x" * 59 + "…"}),
        ({"note": "x" * 20_000}, {}),
    ],
)
def test_fields_that_name_something_come_first_and_large_ones_not_at_all(data: Any, expected: Any) -> None:
    found = preview(json.dumps({"name": "test/x", "data": data}).encode())

    assert expected == (list(found) if isinstance(expected, list) else found)
