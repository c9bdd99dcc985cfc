"""Bulk cancellation: the runs of a function that were queued in a window, perhaps under a condition (executor.md 7.9).

It goes through the runs in pieces, one timer in the queue each, so that neither the writer stands still nor a crash
stops it half-way.
"""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.endings import cancel_run
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.cancellations import Cancellation
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import OpenRun

_log = logging.getLogger(__name__)

KIND = "cancellation"
_PIECE = 1000
"""Runs that one transaction looks at."""


def begin(
    scope: Scope, function_id: str, started_after: float | None, started_before: float, expression: str | None
) -> Cancellation:
    """Store a cancellation and let it begin. The moments are those at which runs were queued."""
    cancellation = Cancellation(
        ids.new_id(scope.now),
        function_id,
        started_after,
        started_before,
        expression,
        scope.now,
        cursor=ids.first_id(started_after or 0.0),
        before=ids.first_id(started_before),
    )
    scope.tables.cancellations.put(cancellation)
    _queue(scope, cancellation)
    return cancellation


def withdraw(scope: Scope, cancellation_id: str) -> bool:
    """Remove a cancellation; what it has not reached yet stays. Return False where there is none."""
    scope.tables.queue.remove(_timer_id(cancellation_id))
    return scope.tables.cancellations.remove(cancellation_id)


def go_on(scope: Scope, cancellation_id: str) -> None:
    """Cancel the matching runs among the next ones, and come back for those after them."""
    cancellation = scope.tables.cancellations.get(cancellation_id)
    if cancellation is None:
        return
    last, runs = scope.tables.runs.open_between(
        cancellation.function_id, cancellation.cursor, cancellation.before, _PIECE
    )
    matching = [run for run in runs if _matches(scope, cancellation, run)]
    cancelled = sum(cancel_run(scope, run.id, "bulk cancellation") for run in matching)
    changed = msgspec.structs.replace(
        cancellation,
        cursor=last or cancellation.cursor,
        cancelled=cancellation.cancelled + cancelled,
        finished_at=scope.now if last is None else None,
    )
    scope.tables.cancellations.put(changed)
    if last is not None:
        _queue(scope, changed)


def _matches(scope: Scope, cancellation: Cancellation, run: OpenRun) -> bool:
    if not cancellation.expression:
        return True
    try:
        return compile_expression(cancellation.expression).matches(scope.tables.events.at(run.event_seq).value())
    except ExpressionFailedError as error:
        _log.warning("the expression of cancellation %s failed for run %s: %s", cancellation.id, run.id, error)
        return False


def _queue(scope: Scope, cancellation: Cancellation) -> None:
    payload = cancellation.id.encode()
    item_id = _timer_id(cancellation.id)
    item = QueueItem(item_id, KIND, "", cancellation.function_id, scope.now, scope.now, payload=payload)
    scope.tables.queue.add(item, scope.now)


def _timer_id(cancellation_id: str) -> str:
    return f"{KIND}:{cancellation_id}"
