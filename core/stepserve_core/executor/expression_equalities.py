"""The equality that an expression needs to be true, so that pauses are found by the compared value. No I/O.

`async.data.id == event.data.id && …` can only be true for a new event that has the run's own id at `data.id`. A pause
keeps that path and that value, and an event looks up the pauses whose value it has (executor.md 3.3 and 7.9). What is
found is still evaluated: the look-up only has to miss nothing.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stepserve_core.executor import fragments
from stepserve_core.executor.expression_syntax import literal_value, parse
from stepserve_core.executor.expressions import ExpressionFailedError, ExpressionInvalidError, compile_expression

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

ANY = ("", "")
"""The path and value of a pause that every event of its name has to look at."""

_NULL = "null"
_LONGEST = 4096
_LARGEST_EXACT = 2**53
_LONGEST_KEY = 128
"""Bytes of text that stand in an index as they are; longer ones stand as their hash."""
_decode_path = msgspec.json.Decoder(list[str]).decode


class Equality(NamedTuple):
    """`path` leads into the new event, as a JSON list of keys; `other` is the expression that it must equal."""

    path: str
    other: str
    needs_event: bool


def match_of(expression: str | None, event: Callable[[], Mapping[str, object]]) -> tuple[str, str]:
    """Return the path and the value by which a pause is found, or `ANY`. `event` gives the run's trigger."""
    equality = None if not expression or len(expression) > _LONGEST else find_equality(expression)
    if equality is None:
        return ANY
    trigger = event() if equality.needs_event else {}
    try:
        value = compile_expression(equality.other).bind(trigger).evaluate(trigger)
    except (ExpressionFailedError, ExpressionInvalidError):
        return ANY
    text = match_value(value)
    return ANY if text is None else (equality.path, text)


def value_at(path: str, event: Mapping[str, Any]) -> str:
    """Return the value that an event has at a path, in the form that `match_of` gives; a missing one is null."""
    value: Any = event
    for key in _decode_path(path):
        value = value.get(key) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    # Lists and maps equal no value that a pause is found by.
    return match_value(value) or ""


def match_value(value: object) -> str | None:
    """Return a text that is the same for equal values; None for lists and maps. Missing and null are equal here."""
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text_key(value)
    if isinstance(value, (int, float)):
        return repr(float(value) + 0.0)  # so that -0.0 is 0.0
    return None


def _text_key(text: str) -> str | None:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return None  # a lone surrogate, which cannot be stored
    return f'"{text}' if len(encoded) <= _LONGEST_KEY else f"#{hashlib.sha256(encoded).hexdigest()}"


@functools.lru_cache(maxsize=1024)
def find_equality(expression: str) -> Equality | None:
    """Return the first comparison `async.path == other` without which `expression` is not true."""
    try:
        tree = parse(expression)
    except ExpressionInvalidError:
        return None
    for node in _conjuncts(tree):
        found = _read(node, expression)
        if found is not None:
            return found
    return None


@functools.lru_cache(maxsize=256)
def fragments_of(expression: str) -> tuple[bytes, ...]:
    """Return what the canonical JSON of an event has in it somewhere, or `expression` is not true for it.

    It is `"n":5` for `event.data.n == 5`: so events are passed over without being decoded.
    """
    try:
        tree = parse(expression)
    except ExpressionInvalidError:
        return ()
    return tuple(fragment for node in _conjuncts(tree) if (fragment := _fragment(node)) is not None)


def _fragment(node: Node) -> bytes | None:
    if len(node.children) != 3 or str(node.children[1]) != "==":
        return None
    left, right = _part(node, 0), _part(node, 2)
    for side, other in ((left, right), (right, left)):
        keys = _path(side, "event")
        if keys and _is_scalar(other):
            value = literal_value(other.children[0])  # type: ignore[arg-type]  # as above
            # A missing value is null; and integers beyond these are not written as they are.
            if value is None or (isinstance(value, (int, float)) and abs(value) > _LARGEST_EXACT):
                return None
            try:
                return fragments.encode({keys[-1]: value})[1:-1]
            except (TypeError, ValueError):
                return None  # a lone surrogate, which no event has
    return None


def _conjuncts(node: Node) -> Iterator[Node]:
    if node.data == "group":
        yield from _conjuncts(_part(node, 0))
    elif node.data == "all_of":
        for child in node.children:
            yield from _conjuncts(child)  # type: ignore[arg-type]  # the grammar has only trees here
    elif node.data == "relation":
        yield node


def _read(node: Node, text: str) -> Equality | None:
    if len(node.children) != 3 or str(node.children[1]) != "==":
        return None
    left, right = _part(node, 0), _part(node, 2)
    for side, other in ((left, right), (right, left)):
        keys = _path(side, "async")
        if keys:
            path = msgspec.json.encode(keys).decode()
            if _is_scalar(other):
                return Equality(path, _text(other, text), needs_event=False)
            # A path without "event." is not bound, and then a missing value is not null.
            if _path(other, "event") and "event." in _text(other, text):
                return Equality(path, _text(other, text), needs_event=True)
    return None


def _path(node: Node, variable: str) -> list[str] | None:
    """Return the keys of `variable.a["b"]`, and None for everything else."""
    if node.data != "member":
        return None
    first, *suffixes = node.children
    if first.data != "name" or str(first.children[0]) != variable:  # type: ignore[union-attr]  # as above
        return None
    keys: list[str] = []
    for suffix in suffixes:
        key = _key(suffix)  # type: ignore[arg-type]  # as above
        if key is None:
            return None
        keys.append(key)
    return keys


def _key(suffix: Node) -> str | None:
    if suffix.data == "select":
        return str(suffix.children[0])
    inner = _part(suffix, 0) if suffix.data == "index" else None
    if inner is None or inner.data != "literal":
        return None
    value = literal_value(inner.children[0])  # type: ignore[arg-type]  # as above
    return value if isinstance(value, str) else None


def _is_scalar(node: Node) -> bool:
    return node.data == "literal" and match_value(literal_value(node.children[0])) is not None  # type: ignore[arg-type]  # as above


def _part(node: Node, index: int) -> Node:
    children: list[Any] = list(node.children)
    part: Node = children[index]
    return part


def _text(node: Node, text: str) -> str:
    return text[node.meta.start_pos : node.meta.end_pos]
