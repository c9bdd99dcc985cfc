"""Cron schedules: one pending tick per function and expression, kept in the queue (executor.md 3.4).

Runs inside a transaction.
"""

from __future__ import annotations

import hashlib

from stepserve_core._durations import parse
from stepserve_core.executor.internal_events import timer_tick
from stepserve_core.executor.schedule import Cause, schedule
from stepserve_core.executor.schedules import parse_schedule
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed, QueueItem

_KIND = "cron"


def seed_ticks(scope: Scope, function: Function) -> None:
    """Queue the next tick of each schedule of a function, and drop those of schedules that it no longer has.

    A tick that is pending stays, so that registering again, or starting again, neither loses nor repeats it.
    """
    schedules = [] if function.archived else [trigger.cron for trigger in function.config.triggers if trigger.cron]
    wanted = {_tick_id(function, cron): cron for cron in schedules}
    for item_id in scope.tables.queue.timers_of(function.id, _KIND):
        if item_id not in wanted:
            scope.tables.queue.remove(item_id)
    for cron in wanted.values():
        _queue_tick(scope, function, cron, parse_schedule(cron).next_after(scope.now))


def tick(scope: Scope, item: Claimed) -> None:
    """Start the run of a due tick and queue the next one, counted from the scheduled time.

    Ticks that were missed while the process was down are made up for by one run, not by one each.
    """
    scope.tables.queue.remove(item.id)
    function = scope.registry.get(item.function_id)
    cron = (item.payload or b"").decode()
    if function is None or function.archived:
        return
    scheduled = _scheduled_moment(item)
    event = timer_tick(cron, scheduled, scope.now)
    schedule(scope, function, Cause(event, scope.tables.events.add(event), cron))
    following = parse_schedule(cron).next_after(scheduled)
    if following + _longest_delay(function, cron) <= scope.now:
        following = parse_schedule(cron).next_after(scope.now)
    _queue_tick(scope, function, cron, following)


def bring_forward(scope: Scope, function: Function) -> int:
    """Make the pending ticks of a function due now; return how many there are."""
    pending = scope.tables.queue.timers_of(function.id, _KIND)
    return sum(scope.tables.queue.bring_forward(item_id, scope.now) for item_id in pending)


def _queue_tick(scope: Scope, function: Function, cron: str, scheduled: float) -> None:
    item_id = _tick_id(function, cron)
    at = scheduled + delay_of(item_id, scheduled, _longest_delay(function, cron))
    # `priority` holds the scheduled moment: bringing a tick forward changes when it fires, not which tick it is.
    item = QueueItem(item_id, _KIND, "", function.id, at, priority=scheduled, payload=cron.encode())
    scope.tables.queue.add(item, scope.now)


def delay_of(tick_id: str, scheduled: float, longest: float) -> float:
    """Return the delay of a tick, from 0 to `longest` seconds: always the same one for the same tick."""
    if not longest:
        return 0.0
    digest = hashlib.sha256(f"{tick_id}@{int(scheduled)}".encode()).digest()
    return longest * (int.from_bytes(digest[:6], "big") / 2**48)


def _longest_delay(function: Function, cron: str) -> float:
    """Return the jitter of a schedule, in seconds."""
    jitters = (trigger.jitter for trigger in function.config.triggers if trigger.cron == cron)
    jitter = next(jitters, None)
    return 0.0 if jitter is None else parse(jitter) / 1000


def _scheduled_moment(item: Claimed) -> float:
    return item.priority


def _tick_id(function: Function, cron: str) -> str:
    return f"{_KIND}:{function.id}:{cron}"
