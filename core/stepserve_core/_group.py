"""`group.parallel` and `group.race`: branches that run at the same time (protocol.md 6.4 and 13.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from stepserve_core._engine import Run
from stepserve_core._opcodes import ParallelMode
from stepserve_core._race import race
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

    @overload
    async def race(self, first: Callable[[], Awaitable[T1]], second: Callable[[], Awaitable[T2]], /) -> T1 | T2: ...

    @overload
    async def race(
        self,
        first: Callable[[], Awaitable[T1]],
        second: Callable[[], Awaitable[T2]],
        third: Callable[[], Awaitable[T3]],
        /,
    ) -> T1 | T2 | T3: ...

    @overload
    async def race(
        self,
        first: Callable[[], Awaitable[T1]],
        second: Callable[[], Awaitable[T2]],
        third: Callable[[], Awaitable[T3]],
        fourth: Callable[[], Awaitable[T4]],
        /,
    ) -> T1 | T2 | T3 | T4: ...

    @overload
    async def race(self, *branches: Callable[[], Awaitable[T]]) -> T: ...

    async def race(self, *branches: Callable[[], Awaitable[Any]]) -> Any:
        """Run branches at the same time, each a function without arguments; the first that ends decides.

        Return its result, or raise its error. Steps of the other branches that the server was asked for already still
        end, and are ignored; no new ones are asked for.
        """
        return await race(self._run, branches)


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

    @overload
    def race(self, first: Callable[[], T1], second: Callable[[], T2], /) -> T1 | T2: ...

    @overload
    def race(self, first: Callable[[], T1], second: Callable[[], T2], third: Callable[[], T3], /) -> T1 | T2 | T3: ...

    @overload
    def race(
        self,
        first: Callable[[], T1],
        second: Callable[[], T2],
        third: Callable[[], T3],
        fourth: Callable[[], T4],
        /,
    ) -> T1 | T2 | T3 | T4: ...

    @overload
    def race(self, *branches: Callable[[], T]) -> T: ...

    def race(self, *branches: Callable[[], Any]) -> Any:
        """Run branches at the same time, each a function without arguments; the first that ends decides.

        Return its result, or raise its error. Steps of the other branches that the server was asked for already still
        end, and are ignored; no new ones are asked for.
        """
        return run_sync(race(self._run, branches))
