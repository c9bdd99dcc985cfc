"""Concurrency keys (executor.md 7.2). No I/O."""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor import fragments
from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.flow.keys import digest
from stepserve_core.executor.function_config import ConcurrencyLimit
from stepserve_core.executor.store.apps import Function

_log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(list[str]).decode


def slot_keys(function: Function, event: Event) -> str | None:
    """Return the keys that calls of a run hold while they are under way, as JSON; None without limits.

    They are evaluated when the run is scheduled, in the order of the function's limits.
    """
    keys = current_keys(function, event, [])
    return encode_keys(keys) if keys else None


def current_keys(function: Function, event: Event, known: list[str]) -> list[str]:
    """Return the keys for the limits as they are now, in their order.

    The limits may have changed since a run got the keys that are `known`: those that still count are kept, because a
    key is the value at the time of scheduling; limits that the run knew nothing of are evaluated.
    """
    return [key_of(function, limit, known) or _key(function, limit, event) for limit in limits_of(function)]


def are_current(function: Function, keys: list[str]) -> bool:
    """Say whether the keys of a run are those for the limits as they are now."""
    limited = limits_of(function)
    return len(limited) == len(keys) and all(
        key_of(function, limit, [key]) for limit, key in zip(limited, keys, strict=True)
    )


def limits_of(function: Function) -> list[ConcurrencyLimit]:
    """Return the limits of calls; one of 0 is none."""
    return [limit for limit in function.config.concurrency if limit.limit > 0]


def key_of(function: Function, limit: ConcurrencyLimit, keys: list[str]) -> str | None:
    """Return which of some keys counts for a limit."""
    prefix = _prefix(function, limit)
    return next((key for key in keys if key == prefix or (limit.key and key.startswith(f"{prefix}:"))), None)


def encode_keys(keys: list[str]) -> str:
    """Return the stored form."""
    return msgspec.json.encode(keys).decode()


def decode_keys(text: str | None) -> list[str]:
    """Return what `encode_keys` wrote."""
    return [] if text is None else _decode(text)


def _prefix(function: Function, limit: ConcurrencyLimit) -> str:
    """Env and account limits with the same expression and value share a count across functions."""
    owner = f"{limit.scope}" if limit.scope in ("env", "account") else function.id
    return f"{owner}:{digest(limit.key.encode())}" if limit.key else owner


def _key(function: Function, limit: ConcurrencyLimit, event: Event) -> str:
    prefix = _prefix(function, limit)
    return f"{prefix}:{digest(_evaluate(limit.key, event))}" if limit.key else prefix


def _evaluate(expression: str, event: Event) -> bytes:
    try:
        return fragments.encode(compile_expression(expression).evaluate(event.value()))
    except (ExpressionFailedError, TypeError, ValueError) as error:
        _log.warning("the concurrency key %r failed, its runs share one slot: %s", expression, error)
        return b"<failed>"
