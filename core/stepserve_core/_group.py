"""`group.parallel`: branches that run at the same time (protocol.md 6.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from stepserve_core._engine import Run
from stepserve_core._opcodes import ParallelMode
from stepserve_core._runtime import run_sync

T = TypeVar("T")


class Group:
    """Parallel groups of an `async def` function; `asyncio.gather` over steps does as well."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def parallel(
        self, callables: tuple[Callable[[], Awaitable[T]], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[T, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return await self._run.parallel(callables, parallel_mode)


class GroupSync:
    """Parallel groups of a `def` function."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def parallel(
        self, callables: tuple[Callable[[], T], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[T, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return run_sync(self._run.parallel(callables, parallel_mode))
