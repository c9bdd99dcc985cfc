"""Checkpoints: steps that an app saves while its call is under way (executor.md 8.3, protocol.md 13.1)."""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Annotated, Any

import msgspec

from stepserve_core.executor import limits
from stepserve_core.executor.answers import Op, read_ops
from stepserve_core.executor.apply import note
from stepserve_core.executor.decisions import AbortDefer, AddDefer, NoteMetadata, RunFacts, Span, StepRef
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.fragments import NULL
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.plan import finish_of
from stepserve_core.executor.progress import finish_step, timing_of
from stepserve_core.executor.registry import RunLimits
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.waiting_ops import plan_defer

_LAZY = frozenset({"DeferAdd", "DeferAbort"})
_FINISHED = frozenset({"StepRun", "Step"})
_NEVER = frozenset({"StepFailed", "RunComplete", "SyncRunComplete"})
"""Opcodes that are refused when their turn comes; others that cannot be saved are refused before anything is."""


class CheckpointRefusedError(Exception):
    """Steps that are not saved; `data` goes into the answer. What stood before them in the list may have been."""

    def __init__(self, status: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.data = data


class Checkpoint(msgspec.Struct):
    """What an app sends. `qi_id` and `generation_id` say which call it belongs to; without them, it is not checked."""

    fn_id: uuid.UUID
    qi_id: str = ""
    generation_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    steps: msgspec.Raw = msgspec.Raw(b"null")


async def save_checkpoint(executor: Executor, run_id: str, body: bytes) -> None:
    """Save the steps of a call that is under way. Those that are saved already stay as they are.

    Raises:
        CheckpointRefusedError: see `_save`.
        ValueError: the body is no checkpoint.
    """
    given = msgspec.json.decode(body, type=Checkpoint)
    steps = bytes(given.steps)
    ops = [] if steps == NULL else read_ops(steps)
    item_id = _item_of(given.qi_id)

    def unit(scope: Scope) -> tuple[RunFacts | None, CheckpointRefusedError | None]:
        return _save(scope, run_id, item_id, given.generation_id, ops)

    run, refusal = await executor.write(unit)
    if run is not None and item_id is not None:
        executor.caller.note_progress(item_id, run)
    if refusal is not None:
        raise refusal


def _item_of(reference: str) -> str | None:
    """Return the queue item of a call, from `base64(<id>::<shard>)`; None where none is named."""
    if not reference:
        return None
    try:
        return base64.b64decode(reference, validate=True).decode().rpartition("::")[0]
    except (binascii.Error, ValueError):
        raise ValueError("qi_id is not what the call carried") from None


def _save(
    scope: Scope, run_id: str, item_id: str | None, generation: int, ops: list[Op]
) -> tuple[RunFacts | None, CheckpointRefusedError | None]:
    """Save what can be saved; return the run as it is then, None if nothing happened, and what was refused.

    A refusal is returned and not raised where the transaction must stand: ops before the refused one are saved.
    """
    run = scope.tables.runs.facts(run_id)
    if run is None:
        return None, CheckpointRefusedError(400, "run not found in state store")
    refusal = _refuse_all(run, scope.registry.limits_of(run.function_id), ops)
    if refusal is not None:
        return None, refusal
    called_at = run.rank
    if item_id is not None:
        got_on = scope.tables.queue.advance(item_id, generation, scope.now + LEASE, if_before=scope.now + LEASE / 2)
        if got_on is None:
            return None, CheckpointRefusedError(409, "stale dispatch: this call is not under way any more")
        called_at = got_on
    for op in ops:
        refusal = _save_op(scope, run, op, called_at)
        if refusal is not None:
            break
    return scope.tables.runs.facts(run_id), refusal


def _refuse_all(run: RunFacts, allowed: RunLimits, ops: list[Op]) -> CheckpointRefusedError | None:
    known = _FINISHED | _LAZY | _NEVER | {"StepPlanned"}
    if any(op.op not in known for op in ops):
        return CheckpointRefusedError(400, "cannot checkpoint async steps", {"run_id": run.id})
    if run.state_size + sum(len(memoryview(op.data)) for op in ops) > allowed.state:
        return CheckpointRefusedError(413, f"the run's state would be larger than {allowed.state} bytes")
    if run.step_count + sum(op.op in _FINISHED for op in ops) > allowed.steps:
        return CheckpointRefusedError(400, f"the run would have more than {allowed.steps} steps")
    return None


def _save_op(scope: Scope, run: RunFacts, op: Op, called_at: float) -> CheckpointRefusedError | None:
    if op.op in _NEVER:
        return CheckpointRefusedError(400, f"cannot checkpoint opcode: {op.op}", {"run_id": run.id})
    step = StepRef(op.id, op.label, op.op, op.races, op.detail())
    if op.op in _FINISHED:
        data = op.canonical_data()
        finish = finish_of(step, data if op.op == "Step" else b'{"data":%s}' % data)
        if finish.failed:
            return CheckpointRefusedError(413, f"step {op.id} output too large: more than {limits.STEP_OUTPUT} bytes")
        timing = timing_of(op.span() or Span(scope.now, scope.now), called_at, scope.now)
        finish_step(scope, run, step, finish.memo, timing, failed=False, follows=False)
    elif op.op == "StepPlanned":
        scope.tables.steps.open(run.id, step, "Running", scope.now, step.detail)
    else:
        decision: AddDefer | AbortDefer = (
            plan_defer(op) if op.op == "DeferAdd" else AbortDefer(str(op.option("target_hashed_id")))
        )
        note(scope, run, decision)
    if bytes(op.metadata) != NULL:
        note(scope, run, NoteMetadata(op.id, bytes(op.metadata)))
    return None
