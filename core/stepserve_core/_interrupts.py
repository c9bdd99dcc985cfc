"""What ends user code from below: control flow that no `except Exception` may catch.

All derive from BaseException and are private; the engine raises them, and the engine and the handler catch them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepserve_core._error_code import ErrorCode
from stepserve_core.errors import NonRetriableError

if TYPE_CHECKING:
    from stepserve_core._found import Found, Report


class Interrupt(BaseException):
    """Ends the function early because there is something to report."""

    def __init__(self, reports: list[Report]) -> None:
        super().__init__("the function was interrupted to report its steps")
        self.reports = reports


class Abort(BaseException):
    """Ends the function with an error of the engine's own, past every `except Exception` of the user."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class BranchInterrupt(BaseException):
    """Ends one branch of `group.parallel`; carries what the branch found, or nothing if it was skipped."""

    def __init__(self, found: list[Found]) -> None:
        super().__init__("a parallel branch was interrupted")
        self.found = found


class NestedStepInterrupt(BaseException):
    """Ends the handler of a step inside which another step was used."""


class NestedStepsError(NonRetriableError):
    """A step was used inside the handler of another step (6.6)."""

    code = ErrorCode.STEP_NESTED
    include_stack = False

    @property
    def name(self) -> str:
        """The name that other SDKs give this error."""
        return "CodedError"


def holds_nested_step(error: BaseException) -> bool:
    """Look also into the groups in which a task group wraps what its tasks raise."""
    inner = getattr(error, "exceptions", ())
    return isinstance(error, NestedStepInterrupt) or any(map(holds_nested_step, inner))
