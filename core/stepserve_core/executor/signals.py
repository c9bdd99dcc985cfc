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

CONFLICT = "Signal conflict; signal wait already exists for another run"


def open_signal_wait(scope: Scope, run: RunFacts, wait: WaitSignalStep) -> None:
    """Let a step wait for a signal. Where another one waits, that one goes on to its timeout, or this run fails."""
    step = wait.step
    detail = msgspec.json.encode({"signal": wait.signal, "expires_at": wait.expires_at})
    if not scope.tables.steps.open(run.id, step, "Waiting", scope.now, detail):
        return
    key = _key(wait.signal)
    other = scope.tables.pauses.of_correlation(key)
    if other is not None and not wait.replace:
        failure = Failure("SignalConflict", CONFLICT, name="SignalConflict")
        end_run(scope, run, EndRun("Failed", failure.output, failure))
        return
    if other is not None:
        scope.tables.pauses.drop_correlation(other.run_id, other.hash)
    scope.tables.pauses.add(Pause(run.id, step.hash, SIGNAL, None, None, key, wait.expires_at))
    item_id = timeout_id(run.id, step.hash)
    item = QueueItem(item_id, "timeout", run.id, run.function_id, wait.expires_at, run.rank, step.hash)
    scope.tables.queue.add(item, scope.now)


def deliver_signal(scope: Scope, signal: str, data: bytes) -> str | None:
    """Give a signal to the step that waits for it; return the id of its run, None where nobody waits.

    `data` is canonical JSON.
    """
    pause = scope.tables.pauses.of_correlation(_key(signal))
    if pause is None or pause.expires_at < scope.now:
        return None
    scope.tables.pauses.take(pause.run_id, pause.hash)
    scope.tables.queue.remove(timeout_id(pause.run_id, pause.hash))
    received = fragments.join_object({"data": data, "signal": fragments.text(signal)})
    resolve_step(scope, pause.run_id, pause.hash, fragments.join_object({"data": received}))
    return pause.run_id


def _key(signal: str) -> str:
    """Return what a wait is found by: names of signals share the column with the ids of invocations."""
    return f"signal:{signal}"
