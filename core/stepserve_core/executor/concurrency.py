"""Concurrency keys and limits (executor.md 7.2)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import msgspec

from stepserve_core.executor import fragments
from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.function_config import ConcurrencyLimit
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed

_log = logging.getLogger(__name__)


def slot_keys(function: Function, event: Event) -> str | None:
    """Return the keys that calls of a run hold while they are under way, as JSON; None without limits.

    They are evaluated once, when the run is scheduled, in the order of the function's limits.
    """
    limited = [limit for limit in function.config.concurrency if limit.limit > 0]
    if not limited:
        return None
    return msgspec.json.encode([_key(function, limit, event) for limit in limited]).decode()


def take_slots(scope: Scope, function: Function, item: Claimed, keys: str) -> bool:
    """Take the slots of a claimed item; where one is full the item is parked until that has room."""
    limited: Sequence[ConcurrencyLimit] = [limit for limit in function.config.concurrency if limit.limit > 0]
    wanted: list[str] = msgspec.json.decode(keys, type=list[str])
    slots = scope.tables.slots
    for key, limit in zip(wanted, limited, strict=False):
        if slots.held(key) >= limit.limit:
            slots.block(item.id, key)
            # The place that this item would have taken under its other keys is somebody else's now.
            for other in wanted:
                if other != key:
                    slots.unblock(other)
            return False
    slots.take(item.id, wanted)
    return True


def _key(function: Function, limit: ConcurrencyLimit, event: Event) -> str:
    """Env and account limits with the same expression and value share a count across functions."""
    shared = limit.scope in ("env", "account")
    owner = f"{limit.scope}" if shared else function.id
    if not limit.key:
        return owner
    return f"{owner}:{_digest(limit.key.encode())}:{_digest(_evaluate(limit.key, event))}"


def _evaluate(expression: str, event: Event) -> bytes:
    try:
        return fragments.encode(compile_expression(expression).evaluate(event.value()))
    except (ExpressionFailedError, TypeError, ValueError) as error:
        _log.warning("the concurrency key %r failed, its runs share one slot: %s", expression, error)
        return b"<failed>"


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:24]
