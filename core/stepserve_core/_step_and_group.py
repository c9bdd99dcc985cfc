"""The steps that a function is given: usual ones, or those of a run that is checked, which looks at their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepserve_core._determinism import CheckedRun
from stepserve_core._engine import Run
from stepserve_core._group import Group, GroupSync
from stepserve_core._serialize import UNSET
from stepserve_core._step import Step, StepSync

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._send import EventSender


class _TellsArguments:
    """What steps of both colours do in a checked run: they tell it the arguments, and then what their base does."""

    _run: Run

    def run(self, step_id: str, handler: Callable[..., Any], *handler_args: Any, output_type: object = UNSET) -> Any:
        assert isinstance(self._run, CheckedRun)
        self._run.expect(handler_args)
        base: Any = super()
        return base.run(step_id, handler, *handler_args, output_type=output_type)


# Users see the types of `Step.run` and `StepSync.run`, which are told apart by them.


class CheckedStep(_TellsArguments, Step):  # type: ignore[misc] # pyright: ignore[reportIncompatibleMethodOverride]
    """The steps of an `async def` function."""

    async def _replay(
        self, step_id: str, hashed: str, handler: Callable[..., Any], handler_args: tuple[object, ...]
    ) -> Any:
        return await self._recall(step_id, hashed, None, self._asks.run, (handler, handler_args, None))


class CheckedStepSync(_TellsArguments, StepSync):  # type: ignore[misc] # pyright: ignore[reportIncompatibleMethodOverride]
    """The steps of a `def` function."""


def step_and_group(run: Run, client: Inngest, sender: EventSender) -> tuple[Step, Group]:
    """Return what the context of an `async def` function has."""
    step = (CheckedStep if isinstance(run, CheckedRun) else Step)(run, client, sender)
    return step, Group(run, step._resolve)


def step_and_group_sync(run: Run, client: Inngest, sender: EventSender) -> tuple[StepSync, GroupSync]:
    """Return what the context of a `def` function has."""
    step = (CheckedStepSync if isinstance(run, CheckedRun) else StepSync)(run, client, sender)
    return step, GroupSync(run, step._resolve)
