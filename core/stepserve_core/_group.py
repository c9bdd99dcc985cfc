"""`group.parallel`: branches that run at the same time (protocol.md 6.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from stepserve_core._engine import Run
from stepserve_core._opcodes import ParallelMode
from stepserve_core._runtime import run_sync

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

# Branches of up to four types keep their own; more of them share one.


class Group:
    """Parallel groups of an `async def` function; `asyncio.gather` over steps does as well."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @overload
    async def parallel(
        self,
        callables: tuple[Callable[[], Awaitable[T1]], Callable[[], Awaitable[T2]]],
        parallel_mode: ParallelMode = ...,
    ) -> tuple[T1, T2]: ...

    @overload
    async def parallel(
        self,
        callables: tuple[Callable[[], Awaitable[T1]], Callable[[], Awaitable[T2]], Callable[[], Awaitable[T3]]],
        parallel_mode: ParallelMode = ...,
    ) -> tuple[T1, T2, T3]: ...

    @overload
    async def parallel(
        self,
        callables: tuple[
            Callable[[], Awaitable[T1]],
            Callable[[], Awaitable[T2]],
            Callable[[], Awaitable[T3]],
            Callable[[], Awaitable[T4]],
        ],
        parallel_mode: ParallelMode = ...,
    ) -> tuple[T1, T2, T3, T4]: ...

    @overload
    async def parallel(
        self, callables: tuple[Callable[[], Awaitable[T]], ...], parallel_mode: ParallelMode = ...
    ) -> tuple[T, ...]: ...

    async def parallel(
        self, callables: tuple[Callable[[], Any], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[Any, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return await self._run.parallel(callables, parallel_mode)


class GroupSync:
    """Parallel groups of a `def` function."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @overload
    def parallel(
        self, callables: tuple[Callable[[], T1], Callable[[], T2]], parallel_mode: ParallelMode = ...
    ) -> tuple[T1, T2]: ...

    @overload
    def parallel(
        self, callables: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3]], parallel_mode: ParallelMode = ...
    ) -> tuple[T1, T2, T3]: ...

    @overload
    def parallel(
        self,
        callables: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3], Callable[[], T4]],
        parallel_mode: ParallelMode = ...,
    ) -> tuple[T1, T2, T3, T4]: ...

    @overload
    def parallel(self, callables: tuple[Callable[[], T], ...], parallel_mode: ParallelMode = ...) -> tuple[T, ...]: ...

    def parallel(
        self, callables: tuple[Callable[[], Any], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[Any, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return run_sync(self._run.parallel(callables, parallel_mode))
