"""What an event does: it starts runs, ends waits, and cancels runs (executor.md 2.7). Runs inside a transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from stepserve_core.executor.endings import cancel_run, finish_invocation, timeout_id
from stepserve_core.executor.events import Event
from stepserve_core.executor.expression_equalities import value_at
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.internal_events import target_of
from stepserve_core.executor.progress import resolve_step
from stepserve_core.executor.schedule import Cause, schedule
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.pauses import CANCEL, Pause

_log = logging.getLogger(__name__)


def publish(scope: Scope, event: Event) -> list[str]:
    """Store an event and do what it does; return the ids of the runs that it started.

    One that is sent again with its seed, because the answer was lost, ends no second wait and cancels no later run:
    whoever sent it knows of one event. What it starts is told apart by the run's key (executor.md 2.4).
    """
    seq = scope.tables.events.add(event)
    # Pauses are looked up first: an event never cancels or resumes a run that it starts itself.
    value = cache(event.value)
    pauses = scope.tables.pauses.for_event(event.name, lambda path: value_at(path, value()))
    if pauses and not scope.tables.events.is_copy(event.internal_id, seq):
        for pause in pauses:
            _try_pause(scope, pause, event, value())
    return _start_runs(scope, event, seq, value)


def settle(scope: Scope) -> None:
    """Publish the internal events of this unit of work, and those that follow from them."""
    while scope.outbox:
        publish(scope, scope.outbox.popleft())


def try_wait(scope: Scope, pause: Pause, event: Event) -> bool:
    """End a wait with an event if it matches. Return whether it did."""
    return _try_pause(scope, pause, event, event.value())


def _try_pause(scope: Scope, pause: Pause, event: Event, value: Mapping[str, Any]) -> bool:
    if pause.expires_at < scope.now or not _matches(scope, pause, value):
        return False
    if pause.kind == CANCEL:
        return cancel_run(scope, pause.run_id)
    if not scope.tables.pauses.take(pause.run_id, pause.hash):
        return False
    scope.tables.queue.remove(timeout_id(pause.run_id, pause.hash))
    # The memo of a wait is the event itself, not wrapped (executor.md 4.4).
    resolve_step(scope, pause.run_id, pause.hash, event.body)
    return True


def _matches(scope: Scope, pause: Pause, value: Mapping[str, Any]) -> bool:
    if not pause.expression:
        return True
    run = scope.tables.runs.facts(pause.run_id)
    if run is None:
        return False
    trigger = msgspec.json.decode(scope.tables.events.body(run.event_seq))
    try:
        # Bound now and not when it was stored: the result is the same, and the compiled text is shared by all runs.
        return compile_expression(pause.expression).bind(trigger).matches(trigger, value)
    except ExpressionFailedError as error:
        _log.warning("the expression %r of run %s failed: %s", pause.expression, pause.run_id, error)
        return False


def _start_runs(scope: Scope, event: Event, seq: int, value: Callable[[], dict[str, Any]]) -> list[str]:
    matching = scope.registry.started_by(event.name, value)
    started = [schedule(scope, function, Cause(event, seq)) for function in matching]
    target = target_of(event)
    if target is not None:
        started.append(_start_invoked(scope, event, seq, *target))
    return [run_id for run_id in started if run_id is not None]


def _start_invoked(scope: Scope, event: Event, seq: int, name: str, correlation_id: str | None) -> str | None:
    function = scope.registry.find(name)
    if function is not None:
        return schedule(scope, function, Cause(event, seq, correlation_id=correlation_id))
    message = f"could not find function with ID: {name}"
    _log.warning("event %s: %s", event.internal_id, message)
    if correlation_id is not None:
        finish_invocation(scope, correlation_id, Failure(message, message), b"null")
    return None
