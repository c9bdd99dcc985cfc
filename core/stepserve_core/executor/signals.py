"""Signals: at most one step waits for each name (executor.md 5.8). Runs inside a transaction."""

from __future__ import annotations

import msgspec

from stepserve_core.executor import fragments
from stepserve_core.executor.decisions import EndRun, RunFacts, WaitSignalStep
from stepserve_core.executor.endings import end_run, timeout_id
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.progress import resolve_step
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.pauses import SIGNAL, Pause
from stepserve_core.executor.store.queue import QueueItem

_NEXT, _AFTER = "\x1f", "\x20"
"""What parts a signal's name from the step, and the character after it: the end of the range of such keys."""

CONFLICT = "Signal conflict; signal wait already exists for another run"


def open_signal_wait(scope: Scope, run: RunFacts, wait: WaitSignalStep) -> None:
    """Let a step wait for a signal. Where another run does, that goes on to its timeout, or this run fails."""
    step = wait.step
    detail = msgspec.json.encode({"signal": wait.signal, "expires_at": wait.expires_at})
    if not scope.tables.steps.open(run.id, step, "Waiting", scope.now, detail):
        return
    waits = _waits(scope, wait.signal)
    others = [pause for pause in waits if pause.run_id != run.id]
    if others and not wait.replace:
        failure = Failure("SignalConflict", CONFLICT, name="SignalConflict")
        end_run(scope, run, EndRun("Failed", failure.output, failure))
        return
    for other in others:
        scope.tables.pauses.drop_correlation(other.run_id, other.hash)
    # Steps of one run may wait for one signal side by side; each has a key of its own.
    key = _key(wait.signal) if len(waits) == len(others) else f"{_key(wait.signal)}{_NEXT}{step.hash}"
    scope.tables.pauses.add(Pause(run.id, step.hash, SIGNAL, None, None, key, wait.expires_at))
    item_id = timeout_id(run.id, step.hash)
    item = QueueItem(item_id, "timeout", run.id, run.function_id, wait.expires_at, run.rank, step.hash)
    scope.tables.queue.add(item, scope.now)


def deliver_signal(scope: Scope, signal: str, data: bytes) -> str | None:
    """Give a signal to the run that waits for it, to all of its steps that do; return its id, None where nobody waits.

    `data` is canonical JSON.
    """
    waits = [pause for pause in _waits(scope, signal) if pause.expires_at >= scope.now]
    received = fragments.join_object({"data": data, "signal": fragments.text(signal)})
    for pause in waits:
        scope.tables.pauses.take(pause.run_id, pause.hash)
        scope.tables.queue.remove(timeout_id(pause.run_id, pause.hash))
        resolve_step(scope, pause.run_id, pause.hash, fragments.join_object({"data": received}))
    return waits[0].run_id if waits else None


def _waits(scope: Scope, signal: str) -> list[Pause]:
    """Return the waits for a signal; they are of one run."""
    key = _key(signal)
    first = scope.tables.pauses.of_correlation(key)
    further = scope.tables.pauses.of_correlations(f"{key}{_NEXT}", f"{key}{_AFTER}")
    return further if first is None else [first, *further]


def _key(signal: str) -> str:
    """Return what a wait is found by: names of signals share the column with the ids of invocations."""
    return f"signal:{signal}"
