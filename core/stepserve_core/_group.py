"""`group.parallel`, `group.race`: at the same time; `group.experiment`: one of several (protocol.md 6.4, 13.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from stepserve_core._engine import Run
from stepserve_core._gather import parallel
from stepserve_core._opcodes import ParallelMode
from stepserve_core._runtime import run_sync

if TYPE_CHECKING:
    from stepserve_core._experiment import Experiment
    from stepserve_core.experiment import Choose, Selection

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")

# Branches of up to four types keep their own; more of them share one.


class Group:
    """Groups of an `async def` function; `asyncio.gather` over steps does as well (protocol.md 6.4 and 13.8)."""

    def __init__(self, run: Run, resolve: Callable[..., Any]) -> None:
        self._run = run
        self._resolve = resolve  # how a step comes to its result

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
        return await parallel(self._run, callables, parallel_mode)

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
        from stepserve_core._race import race  # noqa: PLC0415 - few programs have any

        return await race(self._run, branches)

    async def experiment(
        self,
        experiment_id: str,
        *,
        variants: Mapping[str, Callable[[], Awaitable[T]]],
        select: Selection | Choose | None = None,
    ) -> T:
        """Let `select` choose one of several variants, once for each run; run it, and return its result.

        Args:
            experiment_id: names the experiment, and the step that chooses.
            variants: their names, each with a function without arguments. Each must have at least one step.
            select: `experiment.weighted(…)`, `bucket(…)`, `fixed(…)`, or a function that returns the name of a variant.
                Without it, all have the same weight.

        The server is told which variant a run has, and which steps belong to it (protocol.md 13.8).

        Raises:
            NonRetriableError: `select` chose no variant, or the variant has no step.
            ValueError, TypeError: there are no variants, or `select` cannot be used.
        """
        experiment = _experiment(self._run, experiment_id, variants, select)
        hashed = self._run.identify(experiment_id)
        variant = await self._resolve(experiment_id, hashed, experiment.read, experiment.ask)
        with experiment.entered(variant, hashed) as run_variant:
            output: T = await run_variant()
        return output


class GroupSync:
    """Groups of a `def` function (protocol.md 6.4 and 13.8)."""

    def __init__(self, run: Run, resolve: Callable[..., Any]) -> None:
        self._run = run
        self._resolve = resolve  # how a step comes to its result

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
        return run_sync(parallel(self._run, callables, parallel_mode))

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
        from stepserve_core._race import race  # noqa: PLC0415

        return run_sync(race(self._run, branches))

    def experiment(
        self,
        experiment_id: str,
        *,
        variants: Mapping[str, Callable[[], T]],
        select: Selection | Choose | None = None,
    ) -> T:
        """Let `select` choose one of several variants, once for each run; run it, and return its result.

        Args:
            experiment_id: names the experiment, and the step that chooses.
            variants: their names, each with a function without arguments. Each must have at least one step.
            select: `experiment.weighted(…)`, `bucket(…)`, `fixed(…)`, or a function that returns the name of a variant.
                Without it, all have the same weight.

        The server is told which variant a run has, and which steps belong to it (protocol.md 13.8).

        Raises:
            NonRetriableError: `select` chose no variant, or the variant has no step.
            ValueError, TypeError: there are no variants, or `select` cannot be used.
        """
        experiment = _experiment(self._run, experiment_id, variants, select)
        hashed = self._run.identify(experiment_id)
        variant = self._resolve(experiment_id, hashed, experiment.read, experiment.ask_sync)
        with experiment.entered(variant, hashed) as run_variant:
            output: T = run_variant()
        return output


def _experiment(
    run: Run, experiment_id: str, variants: Mapping[str, Callable[[], Any]], select: Selection | Choose | None
) -> Experiment:
    from stepserve_core._experiment import Experiment  # noqa: PLC0415 - few programs have any

    return Experiment(run, experiment_id, variants, select)
