"""Declared values: exact JSON, or a part of it where the rest differs from run to run. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Having:
    """An object that holds at least these members; others, such as ids and tracebacks, may be anything."""

    members: Mapping[str, Any]


@dataclass(frozen=True)
class ListOf:
    """A list of `length` texts, such as the ids of sent events."""

    length: int


def agrees(declared: Any, actual: Any) -> bool:
    """Say whether `actual` is what was declared. Numbers and booleans are told apart, as JSON does."""
    if isinstance(declared, Having):
        return isinstance(actual, Mapping) and all(
            key in actual and agrees(value, actual[key]) for key, value in declared.members.items()
        )
    if isinstance(declared, ListOf):
        return isinstance(actual, list) and len(actual) == declared.length and all(isinstance(x, str) for x in actual)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    return type(declared) is type(actual) and json.dumps(declared, sort_keys=True) == json.dumps(actual, sort_keys=True)


def describe(value: Any, limit: int = 200) -> str:
    """Return a declared or actual value as a short JSON text."""
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, Having):
        return {**{key: _plain(member) for key, member in value.members.items()}, "…": "…"}
    if isinstance(value, ListOf):
        return [f"{value.length} ids"]
    return value
