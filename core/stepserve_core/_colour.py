"""What the engine needs from the colour of its function; `_runtime` provides it for `def` and for `async def`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

if TYPE_CHECKING:
    from stepserve_core._engine import Run
    from stepserve_core._found import Found, Report
    from stepserve_core._open_group import OpenGroup


NO_BRANCH_REACHED_TARGET = "no branch of a parallel group reached the step that the server asked for"


LEAVE: Final = object()
"""Says that the function must be left after a step, to answer with it."""


class Verdict(enum.Enum):
    """What becomes of a step that has no memo."""

    EXECUTE = "execute"
    PLAN = "plan"


class RunRuntime(Protocol):
    """What a run needs from the colour of its function."""

    async def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call user code of either colour that this runtime allows."""
        ...

    async def settle(self, function: Callable[..., Any], result: Any) -> Any:
        """Await what user code returned, or refuse it, if this runtime cannot."""
        ...

    def choose(self, run: Run, found: Found) -> Coroutine[Any, Any, Verdict]:
        """Say what becomes of `found`, or do not come back because the function ends here."""
        ...

    def finish(self, run: Run, reports: list[Report]) -> Coroutine[Any, Any, NoReturn]:
        """End the function with something to report."""
        ...

    async def fail(self, run: Run, error: Exception) -> NoReturn:
        """End the function with an error that its own code cannot catch."""
        ...

    async def report(self, run: Run, found: list[Found]) -> NoReturn:
        """Report the steps that a parallel group found; none, if it skipped all of them for the target's sake."""
        ...

    def open_group(self, go_on: Callable[[], Coroutine[Any, Any, None]]) -> OpenGroup | None:
        """Take note that a parallel group is run; `go_on` runs the branches not begun, where tasks hold one up."""
        ...

    def resume(self) -> None:
        """Take note that a step raised into the function, which may go on and reach others."""
        ...

    def owner(self) -> object:
        """Return what identifies the thread of control that runs now."""
        ...


def is_awaitable(value: object) -> bool:
    """Say whether `value` has to be awaited; much cheaper than `inspect.isawaitable`, which is asked once per step."""
    return hasattr(type(value), "__await__")
