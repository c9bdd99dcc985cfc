"""From an event to a run: flow control in the order of executor.md 7.1, and idempotency (2.4).

Runs inside a transaction.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from stepserve_core._durations import parse
from stepserve_core.executor import ids, limits
from stepserve_core.executor.concurrency import slot_keys
from stepserve_core.executor.endings import finish_invocation
from stepserve_core.executor.events import Event
from stepserve_core.executor.expression_equalities import match_of
from stepserve_core.executor.expressions import ExpressionFailedError
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.flow import batching, debounce, rate_limit, singleton, timeouts
from stepserve_core.executor.flow.holds import Holds, encode_holds, read_holds
from stepserve_core.executor.flow.options import Flow
from stepserve_core.executor.flow.priority import read_factor
from stepserve_core.executor.internal_events import correlation_of
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import SKIP, Function
from stepserve_core.executor.store.pauses import CANCEL, Pause
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun, SkippedRun

_log = logging.getLogger(__name__)

_ARCHIVED = "invoked function is archived"


class Cause(NamedTuple):
    """What a run starts from: its event, a schedule's tick, an invocation, or a batch that begins with the event."""

    event: Event
    seq: int
    cron: str | None = None
    correlation_id: str | None = None
    batch_id: str | None = None
    again: str | None = None
    """Set where an event starts a function once more, because somebody asked for it."""

    def key(self, function_id: str) -> str:
        """Return the idempotency key."""
        if self.again is not None:
            return f"{function_id}-again-{self.again}"
        if self.batch_id is not None:
            return f"{function_id}-{self.batch_id}"
        return f"{function_id}-{self.event.id}" if self.cron is None else f"{function_id}-{self.cron}-{self.event.id}"


def schedule(scope: Scope, function: Function, cause: Cause) -> str | None:
    """Do what an event does to a function that it starts. Return the id of the run, None where none starts now."""
    flow = function.flow
    if flow is not None and not _may_start(scope, function, flow, cause):
        return None
    return start_run(scope, function, cause)


def fire_debounce(scope: Scope, function: Function, payload: bytes | None) -> None:
    """Start the run of a debounce whose period is over; rate limits were passed before (executor.md 7.5)."""
    held = debounce.read_debounced(payload)
    start_run(scope, function, Cause(scope.tables.events.at(held.seq), held.seq, held.cron, held.correlation_id))


def start_batch(scope: Scope, function: Function, batch_id: str) -> None:
    """Start the run of a batch that is full, or whose time is over."""
    seq = scope.tables.batches.first(batch_id)
    if seq is not None:
        start_run(scope, function, Cause(scope.tables.events.at(seq), seq, batch_id=batch_id))


def drop_debounce(scope: Scope, payload: bytes | None) -> None:
    """End a debounce whose function is archived; a step that invoked it fails."""
    _refuse(scope, debounce.read_debounced(payload).correlation_id, _ARCHIVED)


def drop_batch(scope: Scope, batch_id: str) -> None:
    """End an open batch whose function is archived; steps that invoked it fail."""
    for body in scope.tables.batches.bodies(batch_id):
        _refuse(scope, correlation_of(body), _ARCHIVED)
    scope.tables.batches.remove(batch_id)


def start_run(scope: Scope, function: Function, cause: Cause) -> str | None:
    """Start a run and return its id; None where the event's id started one within 24 hours, or it was skipped."""
    run_id = ids.new_id(scope.now)
    key = cause.key(function.id)
    rank, holds = scope.now, None
    flow = function.flow
    if function.paused == SKIP and not scope.tables.runs.is_reserved(key, scope.now):
        skip_run(scope, function, cause, "FunctionPaused")
        return None
    if flow is not None:
        holds = read_holds(function.id, flow, cause.event)
        if holds is not None and holds.singleton and _is_held(scope, function, flow, cause, holds.singleton):
            return None
        if flow.priority is not None:
            rank -= read_factor(flow.priority, cause.event)
    limit = scope.registry.backlog_limit
    if limit is not None and _is_too_many(scope, function, key, limit):
        skip_run(scope, function, cause, "FunctionBacklogSizeLimitHit")
        return None
    if not scope.tables.runs.reserve(key, run_id, scope.now, scope.now + limits.IDEMPOTENCY_WINDOW):
        return None
    _add_run(scope, function, cause, run_id, rank, holds)
    return run_id


def _add_run(scope: Scope, function: Function, cause: Cause, run_id: str, rank: float, holds: Holds | None) -> None:
    scope.tables.runs.add(
        NewRun(
            run_id,
            function.id,
            function.version,
            cause.seq,
            scope.now,
            rank,
            cause.cron,
            cause.correlation_id,
            slot_keys(function, cause.event),
            cause.batch_id,
            None if holds is None else encode_holds(holds),
        )
    )
    if cause.batch_id is not None:
        scope.tables.batches.close(cause.batch_id, run_id)
    if holds is not None and holds.singleton:
        singleton.take_lock(scope, holds.singleton, run_id)
    _watch_cancellations(scope, function, run_id, cause.event)
    # An event from the future starts its runs when its time comes (executor.md 2.5).
    due = scope.now if cause.batch_id is not None else max(cause.event.ts / 1000, scope.now)
    item = QueueItem(ids.job_id(run_id, "start"), "start", run_id, function.id, due, rank)
    scope.tables.queue.add(item, scope.now)
    if function.flow is not None:
        timeouts.watch_start(scope, function.flow, run_id, function.id)


def _may_start(scope: Scope, function: Function, flow: Flow, cause: Cause) -> bool:
    """Batch, then rate limit, then debounce. Return False where the event starts nothing now."""
    if flow.batch is not None and cause.cron is None:
        collected = batching.collect(scope, function.id, flow.batch, cause.event, cause.seq)
        if collected is not None:
            if collected.full is not None:
                scope.tables.queue.remove(batching.timer_id(function.id, collected.full))
                start_batch(scope, function, collected.full)
            return False
    if scope.tables.runs.is_reserved(cause.key(function.id), scope.now):
        # The same event again: it starts nothing, and must not use up a rate or move a debounce.
        return False
    if flow.rate_limit is not None and not _is_within_rate(scope, function, flow, cause):
        return False
    if flow.debounce is None:
        return True
    new = debounce.Debounced(cause.seq, cause.event.ts, scope.now, cause.cron, cause.correlation_id)
    displaced = debounce.hold(scope, function.id, flow.debounce, cause.event, new)
    _refuse(scope, displaced, "invoked function was debounced")
    return False


def _is_within_rate(scope: Scope, function: Function, flow: Flow, cause: Cause) -> bool:
    assert flow.rate_limit is not None
    try:
        if rate_limit.passes(scope, function.id, flow.rate_limit, cause.event):
            return True
    except ExpressionFailedError as error:
        message = f"the rate limit key {flow.rate_limit.key!r} failed: {error}"
        _log.warning("function %s starts no run for event %s: %s", function.slug, cause.event.internal_id, message)
        _refuse(scope, cause.correlation_id, message)
        return False
    _refuse(scope, cause.correlation_id, "invoked function is rate limited")
    return False


def _is_held(scope: Scope, function: Function, flow: Flow, cause: Cause, key: str) -> bool:
    """Look for a run that holds the singleton lock; where it stands in the way, the new one is recorded as skipped."""
    assert flow.singleton is not None
    if scope.tables.runs.is_reserved(cause.key(function.id), scope.now):
        return False  # a duplicate must neither cancel the holder nor be recorded; it starts nothing below
    holder = singleton.find_holder(scope, key, flow.singleton.mode)
    if holder is None:
        return False
    skip_run(scope, function, cause, "Singleton", holder)
    return True


def _is_too_many(scope: Scope, function: Function, key: str, limit: int) -> bool:
    """Say whether so many runs of a function wait to start that another one is skipped (executor.md 7.11)."""
    return scope.tables.queue.starts(function.id) >= limit and not scope.tables.runs.is_reserved(key, scope.now)


def skip_run(scope: Scope, function: Function, cause: Cause, reason: str, existing: str | None = None) -> None:
    """Record a run that does not happen; the app is not called, and no events tell of it (executor.md 7.8)."""
    run_id = ids.new_id(scope.now)
    scope.tables.runs.add_skipped(
        SkippedRun(run_id, function.id, function.version, cause.seq, scope.now, cause.cron, reason, existing)
    )
    _refuse(scope, cause.correlation_id, f"invoked function was skipped: {reason}")


def _refuse(scope: Scope, correlation_id: str | None, message: str) -> None:
    """Fail the step that invoked the function: nobody would ever answer it."""
    if correlation_id is not None:
        finish_invocation(scope, correlation_id, Failure(message, message), b"null")


def _watch_cancellations(scope: Scope, function: Function, run_id: str, event: Event) -> None:
    for number, cancel in enumerate(function.config.cancel):
        seconds = limits.CANCEL_TIMEOUT if cancel.timeout is None else parse(cancel.timeout) / 1000
        expires_at = scope.now + seconds
        match = match_of(cancel.if_, event.value)
        pause = Pause(run_id, f"cancel:{number}", CANCEL, cancel.event, cancel.if_, None, expires_at, *match)
        scope.tables.pauses.add(pause)
