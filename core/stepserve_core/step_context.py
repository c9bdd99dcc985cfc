"""The steps of the run that is under way, for code that is not handed a context (protocol.md 10.10)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import ParamSpec

if TYPE_CHECKING:
    from stepserve_core._step import Step, StepSync

P = ParamSpec("P")
T = TypeVar("T")

current_steps: ContextVar[Any] = ContextVar("step")


def get_step_context() -> Step | StepSync:
    """Return `ctx.step` of the run that is under way.

    Raises:
        LookupError: none is.
    """
    steps: Step | StepSync = current_steps.get()
    return steps


@contextlib.contextmanager
def set_step_context(step: Step | StepSync) -> Generator[None, None, None]:
    """Make `step` what `get_step_context` returns inside the block."""
    token = current_steps.set(step)
    try:
        yield
    finally:
        current_steps.reset(token)


def step(step_id: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make calls of the decorated function steps named `step_id` inside a run; outside, they are ordinary calls.

    An `async def` function is awaited as before. Its arguments are not part of the step.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            steps: Any = current_steps.get(None)
            if steps is None:
                return function(*args, **kwargs)
            result: T = steps.run(step_id, functools.partial(function, *args, **kwargs))
            return result

        return call

    return decorate
