"""When a value is as declared."""

from __future__ import annotations

from typing import Any

import pytest

from stepserve_core.demo.values import Having, ListOf, agrees, describe


@pytest.mark.parametrize(
    ("declared", "actual", "same"),
    [
        (None, None, True),
        (None, 0, False),
        (1, 1, True),
        (1, True, False),
        (True, 1, False),
        (120, "120", False),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"a": True}, False),
        ([1, 2], [2, 1], False),
        (Having({"a": 1}), {"a": 1, "b": 2}, True),
        (Having({"a": 1}), {"a": 2}, False),
        (Having({"a": None}), {}, False),
        (Having({"a": Having({"b": 1})}), {"a": {"b": 1, "c": 2}}, True),
        (Having({"a": Having({"b": 1})}), {"a": "b"}, False),
        (Having({}), [], False),
        (ListOf(1), ["x"], True),
        (ListOf(1), [], False),
        (ListOf(1), ["x", "y"], False),
        (ListOf(1), [1], False),
        (ListOf(1), "x", False),
    ],
)
def test_values_agree(declared: Any, actual: Any, same: bool) -> None:
    """Exactly, or in the declared part."""
    assert same == agrees(declared, actual)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "ü"}, '{"a": "ü"}'),
        (Having({"a": 1}), '{"a": 1, "…": "…"}'),
        (ListOf(2), '["2 ids"]'),
        ("x" * 300, '"' + "x" * 198 + "…"),
    ],
)
def test_values_are_described_as_short_json(value: Any, text: str) -> None:
    """For sentences about what differs."""
    assert text == describe(value)
