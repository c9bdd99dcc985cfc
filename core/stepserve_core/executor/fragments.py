"""Canonical JSON by joining parts that are canonical already.

Event data and step outputs are canonicalized once, when they arrive, and stored in that form; bodies of calls
and internal events are then assembled without reading them again (executor.md 4.3).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stepserve_core._canonical import canonicalize

NULL = b"null"

_sorted = msgspec.json.Encoder(order="sorted")


def encode(value: object) -> bytes:
    """Return the canonical form of plain values: str, int, bool, None, and lists and dicts of them."""
    return canonicalize(_sorted.encode(value))


def text(value: str) -> bytes:
    """Return a string as JSON."""
    return _sorted.encode(value)


def join_object(parts: Mapping[str, bytes]) -> bytes:
    """Return an object whose values are canonical JSON. Keys must be ASCII; they are sorted here."""
    return b"{" + b",".join(b'"%s":%s' % (key.encode(), parts[key]) for key in sorted(parts)) + b"}"


def join_array(items: list[bytes]) -> bytes:
    """Return an array of values that are canonical JSON."""
    return b"[" + b",".join(items) + b"]"
