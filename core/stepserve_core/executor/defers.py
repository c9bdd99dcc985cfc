"""Defers: functions that a run wants started when it has ended (executor.md 5.10). Runs inside a transaction.

What breaks a limit is rejected and noted; the run goes on.
"""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor import fragments, ids, limits
from stepserve_core.executor.decisions import AddDefer, RunFacts
from stepserve_core.executor.events import make_event
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.defers import ABORTED, REJECTED, SCHEDULED, Defer

_log = logging.getLogger(__name__)

SCHEDULE = "inngest/deferred.schedule"


def add_defer(scope: Scope, run: RunFacts, decision: AddDefer) -> None:
    """Note a defer, once."""
    problem = decision.problem or _broken_limit(scope, run, decision)
    status = SCHEDULED if problem is None else REJECTED
    defer = Defer(run.id, decision.hash, decision.name, decision.slug, status, decision.input if not problem else b"{}")
    if scope.tables.defers.add(defer) and problem is not None:
        _log.warning("run %s: the defer %r was rejected: %s", run.id, decision.name, problem)


def _broken_limit(scope: Scope, run: RunFacts, decision: AddDefer) -> str | None:
    count, size = scope.tables.defers.totals(run.id)
    if count >= limits.DEFERS_PER_RUN:
        return f"a run may have {limits.DEFERS_PER_RUN} of them"
    if size + len(decision.input) > limits.DEFER_INPUT:
        return f"the inputs of a run's defers may have {limits.DEFER_INPUT} bytes together"
    return None


def abort_defer(scope: Scope, run: RunFacts, step_hash: str) -> None:
    """Take a defer back."""
    scope.tables.defers.set_status(run.id, step_hash, ABORTED)


def publish_defers(scope: Scope, run: RunFacts, slug: str) -> None:
    """Publish an event for each live defer of a run that ends; it starts the deferred function."""
    source = scope.registry.get(run.function_id)
    for defer in scope.tables.defers.of_run(run.id):
        if defer.status != SCHEDULED:
            continue
        data = msgspec.json.decode(defer.input, type=dict[str, object])
        data["_inngest"] = {
            "fn_slug": defer.slug,
            "parent_app_id": source.app_id if source is not None else "",
            "parent_defer_span": "",
            "parent_fn_id": run.function_id,
            "parent_fn_slug": slug,
            "parent_run_id": run.id,
        }
        internal_id = event_id_of(run.id, defer.hash, scope.now)
        scope.outbox.append(make_event(SCHEDULE, data, internal_id=internal_id, now=scope.now))


def event_id_of(run_id: str, step_hash: str, ended_at: float) -> str:
    """Return the id of the event that starts a deferred function when its run has ended."""
    return ids.derived_id(run_id, f"defer:{step_hash}", ended_at)


def describe_known(defers: list[Defer]) -> bytes:
    """Return the `defers` of a call: hash to whether it can still be aborted (protocol.md 5.2)."""
    parts = {
        defer.hash: b'{"abortable":true}' if defer.status == SCHEDULED else b'{"abortable":false}' for defer in defers
    }
    return fragments.join_object(parts)
