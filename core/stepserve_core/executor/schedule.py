"""Starting runs (executor.md 7.1, 2.4). Runs inside a transaction."""

from __future__ import annotations

from stepserve_core._durations import parse
from stepserve_core.executor import ids, limits
from stepserve_core.executor.concurrency import slot_keys
from stepserve_core.executor.events import Event
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.pauses import CANCEL, Pause
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun


def start_run(
    scope: Scope,
    function: Function,
    event: Event,
    event_seq: int,
    *,
    cron: str | None = None,
    correlation_id: str | None = None,
) -> str | None:
    """Start a run of `function` and return its id; None where the event's id started one within 24 hours."""
    run_id = ids.new_id(scope.now)
    key = f"{function.id}-{event.id}" if cron is None else f"{function.id}-{cron}-{event.id}"
    if not scope.tables.runs.reserve(key, run_id, scope.now, scope.now + limits.IDEMPOTENCY_WINDOW):
        return None
    keys = slot_keys(function, event)
    run = NewRun(run_id, function.id, function.version, event_seq, scope.now, scope.now, cron, correlation_id, keys)
    scope.tables.runs.add(run)
    _watch_cancellations(scope, function, run_id)
    # An event from the future starts its runs when its time comes (executor.md 2.5).
    due = max(event.ts / 1000, scope.now)
    item = QueueItem(ids.job_id(run_id, "start"), "start", run_id, function.id, due, run.rank)
    scope.tables.queue.add(item, scope.now)
    return run_id


def _watch_cancellations(scope: Scope, function: Function, run_id: str) -> None:
    for number, cancel in enumerate(function.config.cancel):
        seconds = limits.CANCEL_TIMEOUT if cancel.timeout is None else parse(cancel.timeout) / 1000
        expires_at = scope.now + seconds
        pause = Pause(run_id, f"cancel:{number}", CANCEL, cancel.event, cancel.if_, None, expires_at)
        scope.tables.pauses.add(pause)
