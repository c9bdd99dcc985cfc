"""Words for shapes: what a value looks like, and what a type expects. No values, which may be secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import typing_extensions

MAX_NAMES = 12
"""Fields that are named before the rest is left out."""


def shape_of_value(value: object, depth: int = 2) -> str:
    """Describe JSON by its types, such as `{id: int, tags: [str]}`."""
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return _fields((str(key), shape_of_value(item, depth - 1)) for key, item in items) if depth else "{…}"
    if isinstance(value, list):
        values = cast("list[object]", value)
        return f"[{' | '.join(sorted({shape_of_value(item, depth - 1) for item in values}))}]" if depth else "[…]"
    return "null" if value is None else type(value).__name__


def shape_of_type(typ: Any) -> str:
    """Describe a type by its name and, if it has some, its fields."""
    name = name_of_type(typ)
    try:
        hints = typing_extensions.get_type_hints(typ) if isinstance(typ, type) else {}
    except Exception:  # annotations that cannot be resolved; the name has to do
        return name
    return name + _fields((field, name_of_type(hint)) for field, hint in hints.items()) if hints else name


def name_of_type(typ: Any) -> str:
    """Return how a type is written, without modules."""
    if isinstance(typ, type) and not typing_extensions.get_args(typ):
        return "None" if typ is type(None) else typ.__name__
    args = typing_extensions.get_args(typ)
    origin = typing_extensions.get_origin(typ)
    if isinstance(origin, type) and args and "Union" not in origin.__name__:
        return f"{origin.__name__}[{', '.join(name_of_type(arg) for arg in args)}]"
    if args and "Union" in str(origin):
        return " | ".join(name_of_type(arg) for arg in args)
    return "…" if typ is ... else str(typ).replace("typing.", "")


def _fields(pairs: Any) -> str:
    texts = [f"{name}: {shape}" for name, shape in pairs]
    if len(texts) > MAX_NAMES:
        texts[MAX_NAMES:] = [f"and {len(texts) - MAX_NAMES} more"]
    return "{" + ", ".join(texts) + "}"
