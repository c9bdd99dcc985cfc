"""Singletons: one run at a time per key (executor.md 7.8)."""

from __future__ import annotations

from stepserve_core.executor.endings import cancel_run
from stepserve_core.executor.scope import Scope

SKIP = "skip"


def find_holder(scope: Scope, key: str, mode: str) -> str | None:
    """Return the run that stands in the way of a new one. In mode `cancel` it is cancelled, and nothing does."""
    holder = scope.tables.singletons.holder(key)
    if holder is None:
        return None
    if mode == SKIP:
        return holder
    cancel_run(scope, holder, "a newer run took its place (singleton)")
    return None


def take_lock(scope: Scope, key: str, run_id: str) -> None:
    """Let a run hold the lock until it ends."""
    scope.tables.singletons.take(key, run_id)
