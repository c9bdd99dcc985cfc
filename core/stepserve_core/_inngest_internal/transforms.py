"""Small conversions, under the names of the official `inngest._internal.transforms`; errors are returned there."""

from __future__ import annotations

import datetime
from typing import Any

from stepserve_core import _canonical, _durations, _opcodes
from stepserve_core._config import strip_nulls
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._signature import hash_event_key, hash_signing_key
from stepserve_core._signing_key import strip_prefix as remove_signing_key_prefix
from stepserve_core.errors import FunctionConfigInvalidError

__all__ = [
    "canonicalize",
    "deep_strip_none",
    "hash_event_key",
    "hash_signing_key",
    "hash_step_id",
    "remove_signing_key_prefix",
    "to_duration_str",
    "to_iso_utc",
    "to_maybe_duration_str",
]


def canonicalize(value: bytes) -> bytes | Exception:
    """Return JSON in canonical form (RFC 8785)."""
    try:
        return _canonical.canonicalize(value)
    except (ValueError, RecursionError) as error:
        return ValueError(f"failed to canonicalize: {error}")


def deep_strip_none(obj: Any) -> Any:
    """Return `obj` without None in objects and arrays."""
    return strip_nulls(obj)


def hash_step_id(step_id: str) -> str:
    """Return the id of a step on the wire (protocol.md 6.1)."""
    return _opcodes.hash_step_id(step_id)


def to_duration_str(ms: int | datetime.timedelta) -> str | Exception:
    """Return the wire form of a duration (protocol.md 7.1)."""
    try:
        return _durations.to_text(ms)
    except FunctionConfigInvalidError as error:
        return error


def to_maybe_duration_str(ms: int | datetime.timedelta | None) -> str | Exception | None:
    """Return the wire form of a duration, and None for None."""
    return None if ms is None else to_duration_str(ms)


def to_iso_utc(value: datetime.datetime) -> str:
    """Return a moment as the wire writes it (protocol.md 7.3)."""
    return _durations.to_iso(value)


__getattr__ = without_counterpart(__name__)
