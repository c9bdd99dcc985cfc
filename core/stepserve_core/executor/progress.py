"""Finishing a step: its memo, its place in the stack, and the call that follows (executor.md 5.2 to 5.4).

Runs inside a transaction.
"""

from __future__ import annotations

from stepserve_core.executor.decisions import RunFacts, Span, StepRef, Work
from stepserve_core.executor.ids import job_id
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.steps import Timing

COMPLETED, FAILED, TIMED_OUT = "Completed", "Failed", "TimedOut"


def finish_step(
    scope: Scope, run: RunFacts, step: StepRef, memo: bytes, timing: Timing, *, failed: bool, follows: bool = True
) -> bool:
    """Memoise a step that was executed. A second memo for it changes nothing and calls nobody: then return False."""
    recorded = scope.tables.steps.record(run.id, step, memo, FAILED if failed else COMPLETED, timing)
    if recorded and follows:
        races = step.races or (run.force_plan and scope.tables.steps.races(run.id, step.hash))
        _follow(scope, run, step.hash, races=races)
    return recorded


def timing_of(span: Span, called_at: float, now: float, attempt: int = 0) -> Timing:
    """Return the timing of a step that an app executed; its clock may be wrong, its durations are believed.

    It lies between the call and now.
    """
    ended_at = min(span.ended_at, now)
    started_at = max(ended_at - (span.ended_at - span.started_at), called_at)
    return Timing(started_at, started_at, max(ended_at, started_at), attempt)


def resolve_step(scope: Scope, run_id: str, step_hash: str, memo: bytes, status: str = COMPLETED) -> None:
    """Memoise a step that waited for time, an event or another run. Nothing happens to a run that has ended."""
    run = scope.tables.runs.facts(run_id)
    if run is not None and scope.tables.steps.resolve(run_id, step_hash, memo, status, scope.now):
        _follow(scope, run, step_hash, races=run.force_plan and scope.tables.steps.races(run_id, step_hash))


def discover(scope: Scope, run: RunFacts, key: str, delay: float = 0.0) -> None:
    """Queue a call without a target."""
    queue_call(scope, run, "discover", key, at=scope.now + delay)


def queue_call(
    scope: Scope,
    run: RunFacts,
    kind: str,
    key: str,
    *,
    at: float,
    step: str | None = None,
    payload: bytes | None = None,
) -> None:
    """Queue a call of the run's function; the same kind and key twice is one call."""
    scope.tables.queue.add(_call_item(run, kind, key, at=at, step=step, payload=payload), scope.now)


def _call_item(
    run: RunFacts, kind: str, key: str, *, at: float, step: str | None = None, payload: bytes | None = None
) -> QueueItem:
    return QueueItem(job_id(run.id, kind, key), kind, run.id, run.function_id, at, run.rank, step, payload=payload)


def keep_item(scope: Scope, run: RunFacts, work: Work, step: StepRef) -> bool:
    """Turn the item of a lone step into the discovery that the end of the step asks for, and keep it.

    Return False, and do nothing, where it is not as simple: the run's calls are limited, other steps are under way, or
    the item does not belong to whoever executed the step any more.
    """
    if scope.lease_until is None or run.force_plan or step.races or run.slot_keys is not None:
        return False
    discovery = _call_item(run, "discover", step.hash, at=scope.now)
    kept = scope.tables.queue.turn_into(work.id, work.generation, discovery, scope.now, scope.lease_until)
    if kept is not None:
        scope.kept.append(kept)
    return kept is not None


def set_pending(scope: Scope, run: RunFacts, hashes: tuple[str, ...]) -> None:
    """Remember the unfinished steps of a parallel group. If none is left, their ends have asked for what follows."""
    scope.tables.steps.add_pending(run.id, hashes)


def _follow(scope: Scope, run: RunFacts, step_hash: str, *, races: bool) -> None:
    """Queue the discovery that a finished step asks for.

    A step outside a group, or in race mode, asks for one of its own. In a group only the last one does, and the run
    may execute steps at once again.
    """
    # A group is only under way while force_plan is set, so that lone steps save the look into the table.
    grouped = run.force_plan and scope.tables.steps.remove_pending(run.id, step_hash)
    if races or not grouped:
        discover(scope, run, step_hash)
    elif scope.tables.steps.count_pending(run.id) == 0:
        scope.tables.runs.learn(run.id, None, force_plan=False)
        discover(scope, run, f"group:{step_hash}")
