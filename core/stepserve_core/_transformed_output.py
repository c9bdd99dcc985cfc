"""Outputs as the hooks of middleware see and change them (protocol.md 9.2).

Dataclasses, because programs written for the official package may copy them with `dataclasses.replace`.
"""

from __future__ import annotations

import dataclasses

from stepserve_core._opcodes import Opcode
from stepserve_core._serialize import UNSET


@dataclasses.dataclass
class TransformOutputStepInfo:
    """A step as hooks see it: its id, its opcode, and its `opts`, which they may change (protocol.md 9.2)."""

    id: str
    op: Opcode
    opts: dict[str, object] | None


@dataclasses.dataclass
class TransformOutputResult:
    """The output or error of a function (then `step` is None) or of a step; both may be replaced (protocol.md 9.2)."""

    error: Exception | None
    output: object
    step: TransformOutputStepInfo | None

    def has_output(self) -> bool:
        """Say whether there is an output; None is one."""
        return self.output is not UNSET
