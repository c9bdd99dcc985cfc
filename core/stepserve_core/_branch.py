"""A branch of a parallel group while it is being run (protocol.md 6.4)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from stepserve_core._interrupts import BranchInterrupt
from stepserve_core._opcodes import ParallelMode

if TYPE_CHECKING:
    from stepserve_core._engine import Run


class Branch:
    """A branch of a parallel group that is being run, and the interrupt that ended it."""

    __slots__ = ("interrupt", "mode", "owner", "run")

    def __init__(self, run: Run, owner: object, mode: ParallelMode) -> None:
        self.run = run
        self.owner = owner
        self.mode = mode
        self.interrupt: BranchInterrupt | None = None


current: ContextVar[Branch | None] = ContextVar("stepserve_branch", default=None)
"""The branch that this very thread of control is in."""
