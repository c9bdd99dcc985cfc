"""Carrying out what was decided about an answer. Runs inside a transaction."""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.errors import EventInvalidError
from stepserve_core.executor.decisions import (
    AbortDefer,
    AddDefer,
    Decision,
    Discover,
    EndRun,
    FailAttempt,
    FinishStep,
    GatewayStep,
    InvokeStep,
    NoteMetadata,
    ParkItem,
    PlanStep,
    RetryItem,
    RunFacts,
    SetPending,
    SleepStep,
    StepRef,
    UpdateRun,
    WaitSignalStep,
    WaitStep,
    Work,
)
from stepserve_core.executor.defers import abort_defer, add_defer
from stepserve_core.executor.endings import end_run, timeout_id
from stepserve_core.executor.expression_equalities import match_of
from stepserve_core.executor.failures import Failure, error_memo
from stepserve_core.executor.internal_events import invocation
from stepserve_core.executor.metadata import MetadataInvalidError, add_metadata, read_entries
from stepserve_core.executor.progress import (
    discover,
    finish_step,
    keep_item,
    queue_call,
    resolve_step,
    set_pending,
    timing_of,
)
from stepserve_core.executor.routing import settle, try_wait
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.signals import open_signal_wait
from stepserve_core.executor.store.pauses import INVOKE, WAIT, Pause
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.steps import Timing

_log = logging.getLogger(__name__)

_FUNCTION = ""
_Opening = PlanStep | SleepStep | WaitStep | WaitSignalStep | InvokeStep | GatewayStep
"""Decisions about steps that finish later."""

_MAY_END = (EndRun, WaitSignalStep)
_LIMITS = frozenset({"start-timeout", "finish-timeout"})
"""Kinds of queue items that only end a run."""


def apply(scope: Scope, work: Work, decisions: list[Decision], started_at: float) -> bool:
    """Carry out the decisions about one claimed item, all or nothing.

    Return False where the lease was lost or the run has ended: then the answer is discarded.
    """
    if _go_on(scope, work, decisions, started_at):
        return True
    if not _let_go(scope, work, decisions):
        return False
    # Read again: other items of the run may have been applied while this one was called.
    run = scope.tables.runs.facts(work.run_id)
    if run is None:
        return False
    if run.slot_keys is not None:
        scope.tables.slots.release(work.id)
    timing = Timing(work.queued_at, started_at, scope.now, work.attempt)
    repeated: StepRef | None = None
    for decision in decisions:
        if not isinstance(decision, FinishStep):
            run = _carry_out(scope, work, run, decision, timing)
        elif not _finish(scope, run, decision, timing) and decision.follows:
            repeated = decision.step
        if isinstance(decision, _MAY_END) and scope.tables.runs.facts(run.id) is None:
            break  # what else the answer asked for has nobody to come back to
    if repeated is not None:
        _end_if_stuck(scope, run, repeated)
    settle(scope)
    return True


def _go_on(scope: Scope, work: Work, decisions: list[Decision], started_at: float) -> bool:
    """Carry out what most answers ask for, a step that has finished and the call that follows, with one write less.

    Return False, and do nothing, where it is anything else.
    """
    first = decisions[0] if len(decisions) == 1 else None
    if not isinstance(first, FinishStep) or not first.follows:
        return False
    run = scope.tables.runs.facts(work.run_id)
    if run is None or not keep_item(scope, run, work, first.step):
        return False
    timing = Timing(work.queued_at, started_at, scope.now, work.attempt)
    if not _finish(scope, run, msgspec.structs.replace(first, follows=False), timing):
        scope.tables.queue.remove(scope.kept.pop().id)
        _end_if_stuck(scope, run, first.step)
        settle(scope)
    return True


def _end_if_stuck(scope: Scope, run: RunFacts, step: StepRef) -> None:
    """End a run that nothing would go on with: its app executed a step again that has its result."""
    jobs = [job for job in scope.tables.queue.of_run(run.id) if job.kind not in _LIMITS]
    if jobs or scope.tables.runs.facts(run.id) is None:
        return
    message = f"the app executed step {step.name!r} again although it was given the result of it, and nothing else"
    failure = Failure("step_repeated", message, name="StepRepeated")
    end_run(scope, run, EndRun("Failed", failure.output, failure))


def _let_go(scope: Scope, work: Work, decisions: list[Decision]) -> bool:
    first = decisions[0] if decisions else None
    if isinstance(first, ParkItem):
        return _park(scope, work, first)
    retry = next((decision for decision in decisions if isinstance(decision, RetryItem)), None)
    if retry is None:
        return scope.tables.queue.finish(work.id, work.generation)
    return scope.tables.queue.put_back(work.id, work.generation, retry.at, retry.attempt, scope.now)


def _park(scope: Scope, work: Work, park: ParkItem) -> bool:
    """Let an item wait for room. Asked inside the transaction, because room is announced by another one."""
    held = scope.tables.queue.put_back(work.id, work.generation, scope.now, work.attempt, scope.now)
    if held and not park.is_over():
        scope.tables.slots.block(work.id, park.key)
    return held


def _carry_out(scope: Scope, work: Work, run: RunFacts, decision: Decision, timing: Timing) -> RunFacts:
    """Carry out one decision and return the facts as they are then."""
    match decision:
        case UpdateRun():
            return _update(scope, run, decision)
        case FailAttempt():
            _note_failure(scope, run, decision, timing)
        case SetPending():
            set_pending(scope, run, decision.hashes)
        case AddDefer() | AbortDefer() | NoteMetadata():
            return note(scope, run, decision)
        case Discover():
            discover(scope, run, decision.key, decision.delay)
        case EndRun():
            scope.tables.steps.add_attempt(run.id, _FUNCTION, decision.status, timing, _error_of(decision))
            end_run(scope, run, decision)
        case RetryItem() | ParkItem() | FinishStep():
            pass  # carried out by _let_go, and by apply itself
        case _:
            _open_step(scope, work, run, decision)
    return run


def _finish(scope: Scope, run: RunFacts, finish: FinishStep, timing: Timing) -> bool:
    if finish.span is not None:
        timing = timing_of(finish.span, timing.started_at, scope.now, timing.attempt)
    return finish_step(scope, run, finish.step, finish.memo, timing, failed=finish.failed, follows=finish.follows)


def _update(scope: Scope, run: RunFacts, update: UpdateRun) -> RunFacts:
    scope.tables.runs.learn(run.id, update.request_version, update.force_plan)
    version = run.request_version if update.request_version is None else update.request_version
    force_plan = run.force_plan if update.force_plan is None else update.force_plan
    return msgspec.structs.replace(run, request_version=version, force_plan=force_plan)


def _note_failure(scope: Scope, run: RunFacts, failure: FailAttempt, timing: Timing) -> None:
    step = failure.step
    if step is not None:
        scope.tables.steps.open(run.id, step, "Queued", timing.queued_at, step.detail)
    scope.tables.steps.add_attempt(run.id, _FUNCTION if step is None else step.hash, "Failed", timing, failure.error)


def note(scope: Scope, run: RunFacts, decision: AddDefer | AbortDefer | NoteMetadata) -> RunFacts:
    """Note what leads to no call of the run. Return the facts as they are then."""
    match decision:
        case AddDefer():
            add_defer(scope, run, decision)
            # The end of the run may come with the same answer, and must know that there are defers.
            return msgspec.structs.replace(run, defers=run.defers + 1)
        case AbortDefer():
            abort_defer(scope, run, decision.hash)
        case NoteMetadata():
            _note_metadata(scope, run, decision)
    return run


def _note_metadata(scope: Scope, run: RunFacts, note: NoteMetadata) -> None:
    """Keep what a step says about itself; what cannot be kept never fails the run."""
    try:
        add_metadata(scope, run.id, note.hash, read_entries(note.raws))
    except MetadataInvalidError as error:
        _log.warning("run %s: metadata of a step was dropped: %s", run.id, error)


def _error_of(end: EndRun) -> bytes | None:
    return None if end.failure is None else end.failure.output


def _open_step(scope: Scope, work: Work, run: RunFacts, decision: _Opening) -> None:
    """Note a step that finishes later and queue what will finish it. A step that has its memo stays as it is."""
    step = decision.step
    if scope.tables.steps.is_finished(run.id, step.hash):
        return
    match decision:
        case PlanStep():
            scope.tables.steps.open(run.id, step, "Queued", scope.now, step.detail)
            queue_call(scope, run, "step", step.hash, at=scope.now, step=step.hash)
        case SleepStep():
            scope.tables.steps.open(run.id, step, "Sleeping", scope.now, _detail(until=decision.until))
            _queue_timer(scope, run, "sleep", step, decision.until)
        case WaitStep():
            _open_wait(scope, work, run, decision)
        case WaitSignalStep():
            open_signal_wait(scope, run, decision)
        case InvokeStep():
            _open_invocation(scope, run, decision)
        case GatewayStep():
            scope.tables.steps.open(run.id, step, "Queued", scope.now, step.detail)
            queue_call(scope, run, decision.kind, step.hash, at=scope.now, step=step.hash, payload=decision.request)


def _open_wait(scope: Scope, work: Work, run: RunFacts, wait: WaitStep) -> None:
    step = wait.step
    detail = _detail(event=wait.event_name, expression=wait.expression, expires_at=wait.expires_at)
    if not scope.tables.steps.open(run.id, step, "Waiting", scope.now, detail):
        return
    match = match_of(wait.expression, lambda: msgspec.json.decode(scope.tables.events.body(run.event_seq)))
    pause = Pause(run.id, step.hash, WAIT, wait.event_name, wait.expression, None, wait.expires_at, *match)
    scope.tables.pauses.add(pause)
    _queue_timer(scope, run, "timeout", step, wait.expires_at)
    # The event may have come while the app was still answering (executor.md 16, item 9).
    mark = work.event_mark if wait.since is None else wait.since
    for seq, event in scope.tables.events.since(wait.event_name, mark):
        if not scope.tables.events.is_copy(event.internal_id, seq) and try_wait(scope, pause, event):
            break


def _open_invocation(scope: Scope, run: RunFacts, invoke: InvokeStep) -> None:
    step = invoke.step
    correlation_id = f"{run.id}.{step.hash}"
    source = scope.registry.get(run.function_id)
    try:
        event = invocation(invoke, source, run.id, correlation_id, scope.now)
        detail = _detail(function=invoke.function, event_id=event.internal_id, expires_at=invoke.expires_at)
        if not scope.tables.steps.open(run.id, step, "Invoking", scope.now, detail):
            return
    except EventInvalidError as error:
        scope.tables.steps.open(run.id, step, "Invoking", scope.now, _detail(function=invoke.function))
        resolve_step(scope, run.id, step.hash, error_memo("EventInvalidError", str(error)), "Failed")
        return
    scope.tables.pauses.add(Pause(run.id, step.hash, INVOKE, None, None, correlation_id, invoke.expires_at))
    _queue_timer(scope, run, "timeout", step, invoke.expires_at, payload=b"invoke")
    scope.outbox.append(event)


def _queue_timer(
    scope: Scope, run: RunFacts, kind: str, step: StepRef, at: float, payload: bytes | None = None
) -> None:
    item_id = timeout_id(run.id, step.hash) if kind == "timeout" else f"{run.id}:{kind}:{step.hash}"
    item = QueueItem(item_id, kind, run.id, run.function_id, at, run.rank, step.hash, payload=payload)
    scope.tables.queue.add(item, scope.now)


def _detail(**fields: object) -> bytes:
    return msgspec.json.encode(fields)
