"""Claiming work: due timers first, then ready items in order of priority (executor.md 4.6). Runs in a transaction."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from stepserve_core.executor import fragments
from stepserve_core.executor.calls import RunState
from stepserve_core.executor.decisions import RunFacts, Work
from stepserve_core.executor.defers import describe_known
from stepserve_core.executor.flow import timeouts
from stepserve_core.executor.flow.admission import admit
from stepserve_core.executor.routing import settle
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.working_runs import WorkingRun
from stepserve_core.executor.timers import fire_due

_ROUNDS = 4
"""Times that a claim looks again after items were parked by a concurrency limit, before it yields to others."""


class Claim(msgspec.Struct, frozen=True):
    """A leased item with everything that its call needs."""

    work: Work
    run: RunFacts
    function: Function
    state: RunState
    payload: bytes | None


class Claims(msgspec.Struct, frozen=True):
    """What a claim gave. `next_due` is when to claim again at the latest, None where nothing waits for time."""

    items: list[Claim]
    next_due: float | None


def claim(scope: Scope, limit: int, lease_until: float) -> Claims:
    """Fire due timers, then lease up to `limit` items. Those that the transaction has kept are the first."""
    next_due = scope.tables.queue.next_due()
    if next_due is not None and next_due <= scope.now:
        fire_due(scope)
        settle(scope)
        next_due = scope.tables.queue.next_due()
    items = _load_all(scope, scope.kept)
    for _ in range(_ROUNDS):
        if len(items) >= limit:
            break
        wanted = limit - len(items)
        leased = scope.tables.queue.claim(wanted, lease_until)
        loaded = _load_all(scope, leased)
        items += loaded
        # An item that was parked may have let others go on; without such there were no more than these.
        if len(loaded) == len(leased) < wanted:
            return Claims(items, next_due)
    # Items may be left: come back at once if slots remain.
    return Claims(items, scope.now if len(items) < limit else next_due)


def _load_all(scope: Scope, leased: list[Claimed]) -> list[Claim]:
    mark = scope.tables.events.last() if leased else 0
    return [found for item in leased if (found := _load(scope, item, mark)) is not None]


def _load(scope: Scope, item: Claimed, mark: int) -> Claim | None:
    working = scope.tables.working.get(item.run_id) or read_run(scope.tables, item.run_id)
    function = scope.registry.get(item.function_id)
    if working is None or function is None:
        # The run ended, or its function is gone from the database: there is nobody to call.
        scope.tables.queue.remove(item.id)
        return None
    scope.tables.working.keep(working)
    run = working.facts
    if _is_limited(function, run) and not admit(scope, function, item, run):
        return None
    if item.kind == "start" and not run.started:
        scope.tables.runs.start(run.id, scope.now)
        if function.flow is not None:
            timeouts.watch_finish(scope, function.flow, run.id, function.id)
    given = edited_memo(run, working.stack)
    state = RunState(
        events=(working.event,) if run.batch_id is None else scope.tables.batches.bodies(run.batch_id),
        memos=sorted([*working.memos, *given]) if given else working.memos.copy(),
        stack=working.stack.copy(),
        defers=describe_known(scope.tables.defers.of_run(run.id)) if run.defers else b"{}",
    )
    facts = scope.registry.complete(run, function)
    work = Work(item.id, item.kind, item.run_id, item.step, item.attempt, item.generation, item.queued_at, mark)
    return Claim(work, facts, function, state, item.payload)


def _is_limited(function: Function, run: RunFacts) -> bool:
    """Say whether anything may hold an item back: the limits that the run was scheduled with, or those of now."""
    return (
        run.slot_keys is not None
        or run.flow is not None
        or function.flow is not None
        or function.paused is not None
        or bool(function.config.concurrency)
    )


def read_run(tables: Tables, run_id: str) -> WorkingRun | None:
    """Read what the calls of a run need; None where it has ended."""
    found = tables.runs.facts_and_event(run_id)
    if found is None:
        return None
    run, event = found
    memos = tables.steps.memos(run_id) if run.step_count else []
    stack = [step for step, _, _ in sorted(memos, key=lambda row: row[2])]
    return WorkingRun(run, event, [(step, memo) for step, memo, _ in memos], stack)


def edited_memo(run: RunFacts, finished: Collection[str]) -> list[tuple[str, bytes]]:
    """Return the entry that gives a step of a repeated run other arguments, until the step has finished."""
    if run.edited_step is None or run.edited_input is None or run.edited_step in finished:
        return []
    return [(run.edited_step, fragments.join_object({"input": run.edited_input}))]
