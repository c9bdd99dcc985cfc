"""What can be done to runs and functions from outside: cancel, signal, pause, rerun, annotate."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from stepserve_core.errors import FunctionNotFoundError
from stepserve_core.executor import crons
from stepserve_core.executor.endings import cancel_run
from stepserve_core.executor.flow import bulk_cancelling
from stepserve_core.executor.flow.pausing import release, set_paused
from stepserve_core.executor.loop import Loop
from stepserve_core.executor.metadata import Entry, add_metadata
from stepserve_core.executor.registry import Registry, RunLimits
from stepserve_core.executor.reruns import rerun
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.signals import deliver_signal
from stepserve_core.executor.store.apps import HOLD, SKIP
from stepserve_core.executor.store.apps import Function as StoredFunction
from stepserve_core.executor.store.cancellations import Cancellation
from stepserve_core.executor.store.metadata import RUN

T = TypeVar("T")


class Controls(ABC):
    """The part of `Executor` that changes runs and functions."""

    loop: Loop
    registry: Registry
    _syncing: asyncio.Lock

    @abstractmethod
    async def write(self, unit: Callable[[Scope], T]) -> T:
        """Run a unit of work in a transaction."""

    async def cancel(self, run_id: str) -> bool:
        """Cancel a run. Return False where it has ended or does not exist."""
        cancelled = await self.write(lambda scope: cancel_run(scope, run_id))
        self.loop.wake()
        return cancelled

    async def signal(self, name: str, data: bytes) -> str | None:
        """Give a signal to the step that waits for it; return the id of its run, None where nobody waits.

        `data` is canonical JSON.
        """
        run_id = await self.write(lambda scope: deliver_signal(scope, name, data))
        self.loop.wake()
        return run_id

    async def cancel_many(
        self,
        function: StoredFunction,
        started_after: float | None,
        started_before: float,
        expression: str | None = None,
    ) -> Cancellation:
        """Cancel the runs of a function that were queued between two moments, in Unix seconds.

        `expression` is a condition over the event of each run. The runs are cancelled soon after this returns.
        """
        begun = await self.write(
            lambda scope: bulk_cancelling.begin(scope, function.id, started_after, started_before, expression)
        )
        self.loop.wake()
        return begun

    async def withdraw_cancellation(self, cancellation_id: str) -> bool:
        """Stop and forget a bulk cancellation. Return False where there is none."""
        return await self.write(lambda scope: bulk_cancelling.withdraw(scope, cancellation_id))

    async def pause(self, slug: str, *, skip: bool = False) -> None:
        """Start no runs of a function until it is resumed; runs that have started go on.

        New runs wait in their order, or are recorded as skipped (`skip`).

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        await self._set_paused(slug, SKIP if skip else HOLD)

    async def resume(self, slug: str) -> None:
        """Let a paused function start its runs.

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        await self._set_paused(slug, None)

    async def _set_paused(self, slug: str, mode: str | None) -> None:
        async with self._syncing:
            function = self.registry.find(slug)
            if function is None:
                raise FunctionNotFoundError(f"function {slug} not found")
            found = function
            self.registry = await self.write(lambda scope: set_paused(scope, found, mode))
            await self.write(lambda scope: release(scope, found))
        self.loop.wake()

    async def add_metadata(self, run_id: str, step: str | None, entries: list[Entry]) -> bool:
        """Add metadata to a run, or to its step of this hash or name. Return False where there is none.

        Raises:
            MetadataInvalidError: it would be too much.
        """

        def unit(scope: Scope) -> bool:
            if scope.tables.runs.get(run_id) is None:
                return False
            hashes = {RUN} if step is None else scope.tables.steps.named(run_id, step)
            for step_hash in hashes:
                add_metadata(scope, run_id, step_hash, entries)
            return bool(hashes)

        return await self.write(unit)

    async def rerun(self, run_id: str, from_step: str | None = None, given: bytes | None = None) -> str:
        """Start a run once more, perhaps from a step and with other arguments for it; return the id of the new run.

        Raises:
            RerunRefusedError: see `rerun`.
        """
        new_id = await self.write(lambda scope: rerun(scope, run_id, from_step, given))
        self.loop.wake()
        return new_id

    async def limit_runs(self, slug: str, *, steps: int | None = None, state: int | None = None) -> None:
        """Let the runs of a function have other limits, until the executor stops; None leaves a limit as it is.

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        async with self._syncing:
            function = self.registry.find(slug)
            if function is None:
                raise FunctionNotFoundError(f"function {slug} not found")
            known = self.registry.limits_of(function.id)
            allowed = RunLimits(known.steps if steps is None else steps, known.state if state is None else state)
            self.registry = self.registry.limited(function.id, allowed)

    async def tick(self, slug: str) -> int:
        """Let the pending ticks of a function's schedules fire now; return how many there are.

        Raises:
            FunctionNotFoundError: there is no such function.
        """
        function = self.registry.find(slug)
        if function is None:
            raise FunctionNotFoundError(f"function {slug} not found")
        count = await self.write(lambda scope: crons.bring_forward(scope, function))
        self.loop.wake()
        return count
