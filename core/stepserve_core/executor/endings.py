"""Ending a run: nothing of it may stay queued, waiting or counted (executor.md 4.7 and 4.8). Runs in a transaction."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.decisions import EndRun, RunFacts
from stepserve_core.executor.defers import publish_defers
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.flow.holds import decode_holds
from stepserve_core.executor.internal_events import correlation_of, ending_events
from stepserve_core.executor.progress import FAILED, resolve_step
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.tables import Tables

CANCELLED = "Cancelled"


def end_run(scope: Scope, run: RunFacts, end: EndRun) -> bool:
    """End a run, tell everybody, and go on with the run that invoked it. Return False where it had ended."""
    tables = scope.tables
    if not tables.runs.end(run.id, end.status, end.output, scope.now):
        return False
    tables.queue.remove_run(run.id)
    if run.slot_keys is not None or run.flow is not None:
        tables.slots.release_run(run.id)
    if run.flow is not None:
        _release_lock(scope, run.id, run.flow)
    if run.force_plan:
        tables.steps.forget_pending(run.id)
    tables.pauses.remove_run(run.id)
    tables.steps.close_open(run.id, scope.now)
    _publish(scope, run, end)
    _resume_invokers(scope, run, end)
    return True


def cancel_run(scope: Scope, run_id: str, reason: str | None = None) -> bool:
    """Cancel a run, and say why. Return False where it has ended or does not exist.

    A call in flight goes on; its answer is discarded because the queue item is gone.
    """
    run = scope.tables.runs.facts(run_id)
    if run is None:
        return False
    message = "function cancelled" if reason is None else f"function cancelled: {reason}"
    failure = Failure(message, message, name="FunctionCancelled")
    return end_run(scope, run, EndRun(CANCELLED, failure.output, failure))


def _release_lock(scope: Scope, run_id: str, flow: str) -> None:
    key = decode_holds(flow).singleton
    if key is not None:
        scope.tables.singletons.release(key, run_id)


def _publish(scope: Scope, run: RunFacts, end: EndRun) -> None:
    function = scope.registry.get(run.function_id)
    triggers = trigger_bodies(scope.tables, run)
    name = msgspec.json.decode(triggers[0], type=_Named).name
    slug = function.slug if function is not None else run.function_id
    scope.outbox.extend(ending_events(end, run.id, slug, name, triggers, run.correlation_id, scope.now))
    if run.defers:
        publish_defers(scope, run, slug)


def trigger_bodies(tables: Tables, run: RunFacts) -> list[bytes]:
    """Return the canonical JSON of the events that a run starts from: one, or those of its batch."""
    if run.batch_id is not None:
        return tables.batches.bodies(run.batch_id)
    return [tables.events.body(run.event_seq)]


class _Named(msgspec.Struct):
    name: str


def _resume_invokers(scope: Scope, run: RunFacts, end: EndRun) -> None:
    """Answer whoever invoked the run; each event of a batch may be an invocation of its own."""
    if run.correlation_id is not None:
        finish_invocation(scope, run.correlation_id, end.failure, end.output)
    elif run.batch_id is not None:
        for body in scope.tables.batches.bodies(run.batch_id):
            correlation_id = correlation_of(body)
            if correlation_id is not None:
                finish_invocation(scope, correlation_id, end.failure, end.output)


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
