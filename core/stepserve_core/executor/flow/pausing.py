"""Paused functions: they start no runs until they are resumed; runs that have started go on (executor.md 7.11)."""

from __future__ import annotations

from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import HOLD, Function
from stepserve_core.executor.store.slots import ALL


def is_held_back(function: Function) -> bool:
    """Say whether the starts of a function wait for it to be resumed."""
    return function.paused == HOLD


def pause_key(function_id: str) -> str:
    """Return what held starts wait for."""
    return f"paused:{function_id}"


def set_paused(scope: Scope, function: Function, mode: str | None) -> Registry:
    """Pause a function in a mode (`hold` or `skip`), or resume it (None). Return what is known from now on."""
    scope.tables.apps.set_paused(function.id, mode)
    return scope.registry.replaced(scope.tables.apps.functions())


def release(scope: Scope, function: Function) -> None:
    """Let the starts go that waited for a function to be resumed.

    It must be written after everybody knows that the function is not paused: who did not would park others again.
    """
    scope.tables.slots.unblock(pause_key(function.id), ALL)
