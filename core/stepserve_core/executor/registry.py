"""The registered functions, in memory: an immutable picture that is replaced after each sync."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from stepserve_core.executor import limits
from stepserve_core.executor.decisions import RunFacts
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.triggers import TriggerIndex


class RunLimits(msgspec.Struct, frozen=True):
    """How many steps, and how many bytes of state, a run may have."""

    steps: int
    state: int


class Registry:
    """Functions by id and slug, and what events start them. Archived functions are known but never started.

    Args:
        functions: all of them.
        backlog_limit: runs of one function that may wait to start; None for any number.
        overrides: limits of runs by the id of their function, where they differ from those of `limits`.
    """

    def __init__(
        self,
        functions: Iterable[Function] = (),
        *,
        backlog_limit: int | None = None,
        overrides: Mapping[str, RunLimits] | None = None,
    ) -> None:
        self.backlog_limit = backlog_limit
        self._overrides = dict(overrides or {})
        self._by_id = {function.id: function for function in functions}
        self._by_slug = {function.slug: function for function in self._by_id.values() if not function.archived}
        self._triggers = TriggerIndex(
            (function.id, function.config.triggers) for function in self._by_id.values() if not function.archived
        )

    def replaced(self, functions: Iterable[Function]) -> Registry:
        """Return a registry of other functions, with the same settings."""
        return Registry(functions, backlog_limit=self.backlog_limit, overrides=self._overrides)

    def limited(self, function_id: str, allowed: RunLimits) -> Registry:
        """Return a registry where the runs of a function have other limits."""
        overrides = {**self._overrides, function_id: allowed}
        return Registry(self.all(), backlog_limit=self.backlog_limit, overrides=overrides)

    def limits_of(self, function_id: str) -> RunLimits:
        """Return the limits of the runs of a function."""
        return self._overrides.get(function_id) or RunLimits(limits.STEPS_PER_RUN, limits.RUN_STATE)

    def complete(self, run: RunFacts, function: Function) -> RunFacts:
        """Add to the facts of a run what its function decides: its attempts and its limits."""
        allowed = self.limits_of(function.id)
        return msgspec.structs.replace(
            run, max_attempts=function.config.max_attempts, step_limit=allowed.steps, state_limit=allowed.state
        )

    def __len__(self) -> int:
        return len(self._by_slug)

    def active(self) -> list[Function]:
        """Return the functions that are not archived, by slug."""
        return list(self._by_slug.values())

    def all(self) -> list[Function]:
        """Return every function, archived ones too."""
        return list(self._by_id.values())

    def get(self, function_id: str) -> Function | None:
        """Return a function by its id, archived or not."""
        return self._by_id.get(function_id)

    def find(self, id_or_slug: str) -> Function | None:
        """Return the function that an invocation names: an id first, else a slug (executor.md 3.2)."""
        function = self._by_id.get(id_or_slug)
        if function is not None and not function.archived:
            return function
        return self._by_slug.get(id_or_slug)

    def app_of(self, slug: str) -> str:
        """Return the id of the app of a function, archived or not; nothing where there is none."""
        function = self._by_slug.get(slug) or next((one for one in self.all() if one.slug == slug), None)
        return "" if function is None else function.app_id

    def started_by(self, name: str, event: Callable[[], Mapping[str, Any]]) -> list[Function]:
        """Return the functions that an event starts."""
        return [self._by_id[function_id] for function_id in self._triggers.match(name, event)]
