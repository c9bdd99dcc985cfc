"""Timeouts of runs: until they start, and from their start until they finish (executor.md 7.10)."""

from __future__ import annotations

from stepserve_core.executor.endings import cancel_run
from stepserve_core.executor.flow.options import Flow
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed, QueueItem

START, FINISH = "start-timeout", "finish-timeout"
_REASONS = {START: "it did not start in time", FINISH: "it did not finish in time"}


def watch_start(scope: Scope, flow: Flow, run_id: str, function_id: str) -> None:
    """Cancel a new run if it has not been called within its time."""
    _queue(scope, START, flow.start_timeout, scope.now, run_id, function_id)


def watch_finish(scope: Scope, flow: Flow, run_id: str, function_id: str) -> None:
    """Note that a run is called for the first time: cancel it if it has not ended within its time."""
    if flow.start_timeout is not None:
        scope.tables.queue.remove(_timer_id(run_id, START))
    _queue(scope, FINISH, flow.finish_timeout, scope.now, run_id, function_id)


def fire_timeout(scope: Scope, function: Function | None, item: Claimed) -> None:
    """Cancel the run of a due timer, if it has as little time now as when the timer was set."""
    flow = None if function is None else function.flow
    run = scope.tables.runs.get(item.run_id)
    if flow is None or run is None or (item.kind == START and run.started_at is not None):
        return
    seconds = flow.start_timeout if item.kind == START else flow.finish_timeout
    since = run.queued_at if item.kind == START else run.started_at
    if seconds is None or since is None:
        return
    if since + seconds > scope.now:
        _queue(scope, item.kind, seconds, since, run.id, item.function_id)
    else:
        cancel_run(scope, run.id, _REASONS[item.kind])


def _queue(scope: Scope, kind: str, seconds: float | None, since: float, run_id: str, function_id: str) -> None:
    if seconds is None:
        return
    at = since + seconds
    scope.tables.queue.add(QueueItem(_timer_id(run_id, kind), kind, run_id, function_id, at, at), scope.now)


def _timer_id(run_id: str, kind: str) -> str:
    # It begins with the run's id, so that the end of the run removes it.
    return f"{run_id}:{kind}"
