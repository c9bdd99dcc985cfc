"""Ending a run: nothing of it may stay queued, waiting or counted (executor.md 4.7 and 4.8). Runs in a transaction."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.decisions import EndRun, RunFacts
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.internal_events import ending_events
from stepserve_core.executor.progress import FAILED, resolve_step
from stepserve_core.executor.scope import Scope

CANCELLED = "Cancelled"


def end_run(scope: Scope, run: RunFacts, end: EndRun) -> bool:
    """End a run, tell everybody, and go on with the run that invoked it. Return False where it had ended."""
    tables = scope.tables
    if not tables.runs.end(run.id, end.status, end.output, scope.now):
        return False
    tables.queue.remove_run(run.id)
    if run.slot_keys is not None:
        tables.slots.release_run(run.id)
    if run.force_plan:
        tables.steps.forget_pending(run.id)
    tables.pauses.remove_run(run.id)
    tables.steps.close_open(run.id, scope.now)
    _publish(scope, run, end)
    _resume_invoker(scope, run, end)
    return True


def cancel_run(scope: Scope, run_id: str) -> bool:
    """Cancel a run. Return False where it has ended or does not exist.

    A call in flight goes on; its answer is discarded because the queue item is gone.
    """
    run = scope.tables.runs.facts(run_id)
    if run is None:
        return False
    failure = Failure("function cancelled", "function cancelled", name="FunctionCancelled")
    return end_run(scope, run, EndRun(CANCELLED, failure.output, failure))


def _publish(scope: Scope, run: RunFacts, end: EndRun) -> None:
    function = scope.registry.get(run.function_id)
    trigger = scope.tables.events.body(run.event_seq)
    name = msgspec.json.decode(trigger, type=_Named).name
    slug = function.slug if function is not None else run.function_id
    scope.outbox.extend(ending_events(end, run.id, slug, name, trigger, run.correlation_id, scope.now))


class _Named(msgspec.Struct):
    name: str


def _resume_invoker(scope: Scope, run: RunFacts, end: EndRun) -> None:
    if run.correlation_id is not None:
        finish_invocation(scope, run.correlation_id, end.failure, end.output)


def finish_invocation(scope: Scope, correlation_id: str, failure: Failure | None, output: bytes) -> None:
    """Give the result of an invoked function to the step that waits for it, unless its time is over (5.7)."""
    pause = scope.tables.pauses.take_invocation(correlation_id)
    if pause is None:
        return
    scope.tables.queue.remove(timeout_id(pause.run_id, pause.hash))
    if failure is None:
        resolve_step(scope, pause.run_id, pause.hash, b'{"data":%s}' % output)
    else:
        resolve_step(scope, pause.run_id, pause.hash, b'{"error":%s}' % failure.event_error, FAILED)


def timeout_id(run_id: str, step_hash: str) -> str:
    """Return the id of the queue item that ends a wait."""
    return f"{run_id}:timeout:{step_hash}"
