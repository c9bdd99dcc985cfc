"""Throttles: starts above the rate wait their turn (executor.md 7.3).

A start that has to wait is parked under the key of its throttle, and one timer per key lets as many go as there is
room for, the oldest first. There is no polling: the moment at which there is room is known.
"""

from __future__ import annotations

import logging

from stepserve_core.executor.flow.gcra import admit, count_free, next_moment
from stepserve_core.executor.flow.options import Rate
from stepserve_core.executor.flow.rate_state import read_tat
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed, QueueItem
from stepserve_core.executor.store.slots import ALL

_log = logging.getLogger(__name__)

KIND = "throttle"


def burst_of(rate: Rate) -> int:
    """Return by how many intervals starts may run ahead: `limit + burst` go at once, then one per interval."""
    return rate.limit + rate.burst - 1


def has_room(scope: Scope, rate: Rate, key: str) -> bool:
    """Say whether a start would be let through now."""
    return (
        admit(read_tat(scope, key, rate.emission, burst_of(rate)), scope.now, rate.emission, burst_of(rate)) is not None
    )


def count_start(scope: Scope, rate: Rate, key: str) -> None:
    """Count a start that was let through."""
    tat = admit(read_tat(scope, key, rate.emission, burst_of(rate)), scope.now, rate.emission, burst_of(rate))
    if tat is not None:
        scope.tables.rates.put(key, tat)


def watch(scope: Scope, function_id: str, rate: Rate, key: str) -> None:
    """Wake a start that waits for `key` when there is room for it."""
    tat = read_tat(scope, key, rate.emission, burst_of(rate)) or scope.now
    _queue_timer(scope, function_id, key, next_moment(tat, rate.emission, burst_of(rate)))


def fire_throttle(scope: Scope, function: Function | None, item: Claimed) -> None:
    """Let go as many starts as there is room for; the timer comes again if others wait."""
    key = item.id
    slots = scope.tables.slots
    rate = None if function is None or function.flow is None else function.flow.throttle
    if rate is None:
        slots.unblock(key, ALL)  # the function has no throttle any more
        return
    tat = read_tat(scope, key, rate.emission, burst_of(rate))
    woken = slots.unblock(key, count_free(tat, scope.now, rate.emission, burst_of(rate)))
    if slots.is_waited_for(key):
        # Those that were woken have not counted themselves yet; the next turn comes after them.
        ahead = max(tat or scope.now, scope.now) + woken * rate.emission
        at = next_moment(ahead, rate.emission, burst_of(rate))
        _queue_timer(scope, item.function_id, key, max(at, scope.now))


def _queue_timer(scope: Scope, function_id: str, key: str, at: float) -> None:
    # The key serves as the id: one timer per key, in the range of the function's timers.
    if not scope.tables.queue.add(QueueItem(key, KIND, "", function_id, at, at), scope.now):
        scope.tables.queue.hasten(key, at)
