"""A few fields of an event, by which people tell runs apart in a list. No I/O."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_FIELDS = 4
_LETTERS = 60
_LARGEST = 16 * 1024
"""Bytes of an event that are read for a preview: a list of a hundred runs stays cheap whatever was sent."""

_NAMING = re.compile(r"(?:^|_)(?:id|ids|key|number|name|email|slug|url|path)$|(?:Id|Key|Number|Name|Email)$")
"""Names of fields that say which one it is, rather than how it is."""


class _Body(msgspec.Struct):
    data: dict[str, msgspec.Raw] = {}


def preview(body: bytes) -> dict[str, Any]:
    """Return up to four plain fields of the data of an event: those that name something first, long text cut."""
    if len(body) > _LARGEST:
        return {}
    try:
        data = msgspec.json.decode(body, type=_Body).data
    except msgspec.ValidationError:  # data need not be an object
        return {}
    names = [name for name, raw in data.items() if name != "_inngest" and bytes(raw)[:1] not in (b"{", b"[", b"n")]
    names.sort(key=lambda name: _NAMING.search(name) is None)  # stable: otherwise in the order of the event
    return {name: _cut(msgspec.json.decode(data[name])) for name in names[:_FIELDS]}


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > _LETTERS:
        return f"{value[: _LETTERS - 1]}…"
    return value
