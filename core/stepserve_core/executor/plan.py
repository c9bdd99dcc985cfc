"""What follows from an answer (executor.md 4.5, 5 and 6). Pure: state, answer and time in, decisions out."""

from __future__ import annotations

import hashlib

import msgspec

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments, limits
from stepserve_core.executor.answers import Answer, Op
from stepserve_core.executor.backoff import retry_moment
from stepserve_core.executor.decisions import (
    AbortDefer,
    Decision,
    Discover,
    EndRun,
    FailAttempt,
    FinishStep,
    NoteMetadata,
    RetryItem,
    RunFacts,
    SetPending,
    StepRef,
    UpdateRun,
    Work,
)
from stepserve_core.executor.endpoint_requests import EndpointResult
from stepserve_core.executor.failures import Failure, error_memo, step_error_memo
from stepserve_core.executor.waiting_ops import OpInvalidError, RunFailedError, plan_defer, plan_waiting

_FIRST = frozenset({"WaitForEvent", "WaitForSignal", "DeferAdd", "DeferAbort"})
_LAZY = frozenset({"None", "DeferAdd", "DeferAbort"})
_DONE = frozenset({"StepRun", "Step", "RunComplete", "SyncRunComplete"})
_OVERFLOWED = "InngestErrFunctionOverflowed"
_STATE_OVERFLOWED = "InngestErrStateOverflowed"
_EMPTY_ANSWER_DELAY = 1.0
"""Seconds before an app that answered nothing is called again; at once would be a hot loop."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long to wait between attempts. `interval` replaces the table; `jitter` is random, in [0, 1)."""

    interval: float | None = None
    jitter: float = 0.0


def plan(work: Work, run: RunFacts, answer: Answer, now: float, policy: RetryPolicy) -> list[Decision]:
    """Return what follows from `answer`, in the order in which it is to be carried out."""
    try:
        if answer.failure is not None:
            return _learn(run, answer) + _plan_failure(work, run, answer, answer.failure, now, policy)
        if answer.ops is not None:
            return _learn(run, answer) + _plan_ops(work, run, answer, answer.ops, now, policy)
        return [*_learn(run, answer), EndRun("Completed", answer.result or b"null")]
    except (ValueError, RecursionError) as error:
        # Besides broken ops: data that JSON allows but nobody can carry on, such as 1e999 or lone surrogates.
        failure = Failure("invalid_answer", str(error))
        return _learn(run, answer) + _plan_failure(work, run, answer, failure, now, policy)
    except RunFailedError as error:
        return [_fail(Failure(error.name, str(error), name=error.name))]


def plan_overflow(run: RunFacts) -> EndRun | None:
    """Return the end of a run that has too many steps to be called again, else None (executor.md 4.7)."""
    return _too_many_steps(run.step_limit) if run.step_count >= run.step_limit else None


def _too_many_steps(limit: int) -> EndRun:
    message = f"The function run exceeded the step limit of {limit} steps."
    return _fail(Failure(_OVERFLOWED, message, name=_OVERFLOWED))


def _fail(failure: Failure) -> EndRun:
    return EndRun("Failed", failure.output, failure)


def _learn(run: RunFacts, answer: Answer) -> list[Decision]:
    """The request version is taken from the first answer and kept (executor.md 4.5)."""
    if run.request_version == -1 and answer.request_version is not None:
        return [UpdateRun(request_version=answer.request_version)]
    return []


def _plan_failure(
    work: Work, run: RunFacts, answer: Answer, failure: Failure, now: float, policy: RetryPolicy
) -> list[Decision]:
    if answer.no_retry or not failure.retriable or work.attempt + 1 >= run.max_attempts:
        return [_fail(failure)]
    return [FailAttempt(None, failure.output), _retry(work, answer, now, policy)]


def _retry(work: Work, answer: Answer, now: float, policy: RetryPolicy) -> RetryItem:
    moment = retry_moment(
        work.attempt, now, retry_after=answer.retry_after, retry_interval=policy.interval, jitter=policy.jitter
    )
    return RetryItem(moment, work.attempt + 1)


def _plan_ops(
    work: Work, run: RunFacts, answer: Answer, ops: list[Op], now: float, policy: RetryPolicy
) -> list[Decision]:
    if len(ops) > limits.OPS_PER_ANSWER:
        return [_too_many_steps(limits.OPS_PER_ANSWER)]
    added = sum(len(memoryview(op.data)) for op in ops)
    if run.state_size + added > run.state_limit:
        message = f"The function run exceeded the state size limit of {run.state_limit} bytes."
        return [_fail(Failure(_STATE_OVERFLOWED, message, name=_STATE_OVERFLOWED))]
    if _are_kept(work, ops):
        return _plan_kept(work, run, answer, ops, now, policy)
    decisions: list[Decision] = list(_plan_group(run, answer, ops))
    # Waits come first, so that they stand before work that may send the event they wait for; defers stand before an
    # end of the run (executor.md 5.2).
    for op in sorted(ops, key=lambda op: op.op not in _FIRST):
        if bytes(op.metadata) != fragments.NULL:  # first: the op may end the run
            decisions.append(NoteMetadata(op.id, bytes(op.metadata)))
        decisions += _plan_op(work, run, answer, op, now, policy)
    if all(op.op in _LAZY for op in ops):  # nothing of it would lead to another call
        decisions.append(Discover(_next_key(work, "none"), delay=_EMPTY_ANSWER_DELAY))
    return decisions


def _are_kept(work: Work, ops: list[Op]) -> bool:
    """Say whether these are the steps of a call that went on after each: those it could not checkpoint, or the last.

    Some of them may have been saved although the app does not know it, so that they ask for nothing themselves.
    """
    steps = [op.op for op in ops if op.op not in _LAZY]
    return work.step is None and (len(steps) > 1 or work.checkpointed) and bool(steps) and set(steps) <= _DONE


def _plan_kept(
    work: Work, run: RunFacts, answer: Answer, ops: list[Op], now: float, policy: RetryPolicy
) -> list[Decision]:
    decisions: list[Decision] = []
    for op in sorted(ops, key=lambda op: op.op in ("RunComplete", "SyncRunComplete")):
        if bytes(op.metadata) != fragments.NULL:
            decisions.append(NoteMetadata(op.id, bytes(op.metadata)))
        for decision in _plan_op(work, run, answer, op, now, policy):
            if isinstance(decision, FinishStep):
                decision = msgspec.structs.replace(decision, follows=False, span=op.span())  # noqa: PLW2901
            decisions.append(decision)
    return [*decisions, Discover(_next_key(work, "kept"))]


def _plan_group(run: RunFacts, answer: Answer, ops: list[Op]) -> list[Decision]:
    """Remember a parallel group: more than one step at once, of which some are yet to be executed."""
    steps = [op for op in ops if op.op not in _LAZY]
    if len(steps) < 2:
        return []
    group: list[Decision] = [] if run.force_plan else [UpdateRun(force_plan=True)]
    version = run.request_version if answer.request_version is None else answer.request_version
    if version >= 2 and any(op.op == "StepPlanned" for op in steps):
        group.append(SetPending(tuple(op.id for op in steps if op.id)))
    return group


def _plan_op(work: Work, run: RunFacts, answer: Answer, op: Op, now: float, policy: RetryPolicy) -> list[Decision]:
    step = StepRef(op.id, op.label, op.op, op.races, op.detail())
    decisions: list[Decision] = []
    match op.op:
        case "None":
            pass
        case "StepRun":
            decisions.append(finish_of(step, b'{"data":%s}' % op.canonical_data()))
        case "Step":
            decisions.append(finish_of(step, op.canonical_data()))
        case "StepError" | "StepFailed":
            decisions = _plan_step_error(work, run, answer, op, step, now, policy)
        case "RunComplete":
            decisions.append(EndRun("Completed", op.canonical_data()))
        case "SyncRunComplete":
            decisions.append(_end_endpoint(op))
        case "DeferAdd":
            decisions.append(plan_defer(op))
        case "DeferAbort":
            decisions.append(AbortDefer(str(op.option("target_hashed_id"))))
        case "DiscoveryRequest":
            decisions.append(Discover(_next_key(work, op.id)))
        case _:
            decisions.append(plan_waiting(op, step, now))
    return decisions


def _end_endpoint(op: Op) -> EndRun:
    """Return the end of a durable endpoint's run: `data` is `{"data": {"status", "headers", "body"}}`."""
    answer = msgspec.json.decode(op.data, type=EndpointResult).data
    output = canonicalize(msgspec.json.encode(answer))
    if answer.status < 500:
        return EndRun("Completed", output)
    summary, message = f"invalid status code: {answer.status}", f"the endpoint answered HTTP {answer.status}"
    return EndRun("Failed", output, Failure(summary, message, body=output))


def _next_key(work: Work, subject: str) -> str:
    """Name a discovery after the item that asked for it. Hashed: keys would grow with each one otherwise."""
    origin = hashlib.sha1(f"{work.id}:{work.generation}".encode(), usedforsecurity=False).hexdigest()
    return f"{subject}:{origin[:16]}"


def finish_of(step: StepRef, memo: bytes) -> FinishStep:
    """Return the end of an executed step; one whose output or input is too large has failed."""
    if max(len(memo), len(step.detail or b"")) > limits.STEP_OUTPUT:
        message = f"The output or the input of the step is larger than {limits.STEP_OUTPUT} bytes."
        step = msgspec.structs.replace(step, detail=None)
        return FinishStep(step, error_memo("OutputTooLarge", message), failed=True)
    return FinishStep(step, memo)


def _plan_step_error(
    work: Work, run: RunFacts, answer: Answer, op: Op, step: StepRef, now: float, policy: RetryPolicy
) -> list[Decision]:
    if not op.has_error:
        raise OpInvalidError(f"the opcode {op.op} of step {op.label!r} has no error")
    no_retry = answer.no_retry or _forbids_retry(op.error)
    memo = step_error_memo(op.error, no_retry)
    if op.op == "StepFailed" or no_retry or work.attempt + 1 >= run.max_attempts:
        return [FinishStep(step, memo, failed=True)]
    return [FailAttempt(step, memo), _retry(work, answer, now, policy)]


def _forbids_retry(error: msgspec.Raw) -> bool:
    value = msgspec.json.decode(error)
    return isinstance(value, dict) and value.get("noRetry") is True  # pyright: ignore[reportUnknownMemberType] - JSON
