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


def slot_keys(function: Function, event: Event) -> str | None:
    """Return the keys that calls of a run hold while they are under way, as JSON; None without limits.

    They are evaluated once, when the run is scheduled, in the order of the function's limits.
    """
    limited = [limit for limit in function.config.concurrency if limit.limit > 0]
    if not limited:
        return None
    return msgspec.json.encode([_key(function, limit, event) for limit in limited]).decode()


def key_of(function: Function, limit: ConcurrencyLimit, keys: list[str]) -> str | None:
    """Return which of the `keys` that a run was scheduled with counts for a limit.

    The limits may have changed since: None for one that the run knew nothing of, which then does not hold it back.
    """
    prefix = _prefix(function, limit)
    return next((key for key in keys if key == prefix or (limit.key and key.startswith(f"{prefix}:"))), None)


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
