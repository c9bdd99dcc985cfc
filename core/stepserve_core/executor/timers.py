"""What happens when time comes: retries and delayed starts, sleeps, timeouts, cron ticks. Runs in a transaction."""

from __future__ import annotations

from typing import TypeGuard

from stepserve_core.executor.crons import tick
from stepserve_core.executor.failures import error_memo
from stepserve_core.executor.flow import batching, bulk_cancelling, debounce, throttle, timeouts
from stepserve_core.executor.progress import FAILED, TIMED_OUT, resolve_step
from stepserve_core.executor.schedule import drop_batch, drop_debounce, fire_debounce, start_batch
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import TIMERS, Claimed

BATCH = 200
"""Timers that one transaction carries out, so that 100,000 runs that wake at once do not stop everything else."""

_TIMED_OUT = "Timed out waiting for invoked function to complete"
INVOKE_TIMEOUT_MEMO = error_memo(
    "InngestInvokeTimeoutError", _TIMED_OUT, error=f"InngestInvokeTimeoutError: {_TIMED_OUT}"
)


def fire_due(scope: Scope) -> bool:
    """Carry out the timers that are due. Return whether there may be more."""
    due = scope.tables.queue.find_due(scope.now, BATCH)
    for item in due:
        _fire(scope, item)
    return len(due) == BATCH


def _fire(scope: Scope, item: Claimed) -> None:
    if item.kind == "sleep":
        scope.tables.queue.remove(item.id)
        resolve_step(scope, item.run_id, item.step or "", b"null")
    elif item.kind == "timeout":
        scope.tables.queue.remove(item.id)
        _expire(scope, item)
    elif item.kind == "cron":
        tick(scope, item)
    elif item.kind in TIMERS:
        scope.tables.queue.remove(item.id)
        _fire_flow(scope, item)
    else:
        scope.tables.queue.make_ready(item.id)


def _fire_flow(scope: Scope, item: Claimed) -> None:
    """Carry out a due timer of flow control."""
    function = scope.registry.get(item.function_id)
    if item.kind in (timeouts.START, timeouts.FINISH):
        timeouts.fire_timeout(scope, function, item)
    elif item.kind == throttle.KIND:
        throttle.fire_throttle(scope, function, item)
    elif item.kind == bulk_cancelling.KIND:
        bulk_cancelling.go_on(scope, (item.payload or b"").decode())
    elif item.kind == debounce.KIND:
        if _starts(function):
            fire_debounce(scope, function, item.payload)
        else:
            drop_debounce(scope, item.payload)
    elif item.kind == batching.KIND:
        batch_id = (item.payload or b"").decode()
        if _starts(function):
            start_batch(scope, function, batch_id)
        else:
            drop_batch(scope, batch_id)


def _starts(function: Function | None) -> TypeGuard[Function]:
    """Say whether runs of a function may start: what events collected for it is dropped once it is archived."""
    return function is not None and not function.archived


def _expire(scope: Scope, item: Claimed) -> None:
    """End a wait whose time is over, unless an event took it first."""
    step = item.step or ""
    if not scope.tables.pauses.take(item.run_id, step):
        return
    if item.payload == b"invoke":
        resolve_step(scope, item.run_id, step, INVOKE_TIMEOUT_MEMO, FAILED)
    else:
        resolve_step(scope, item.run_id, step, b"null", TIMED_OUT)
