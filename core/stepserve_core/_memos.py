"""Memos: what the server remembers of finished steps, and how it is read (protocol.md 5.3). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepserve_core.errors import StepError

MISSING: Final = object()
"""Stands for "no memo"; None is a memo like any other."""


class Memo:
    """A memo that was read: the data, or the error that the step ended with.

    `args` are new arguments, for a step that shall run again with edited input and has not done so yet.
    """

    __slots__ = ("args", "data", "error")

    def __init__(self, data: object = None, error: StepError | None = None, args: list[object] | None = None) -> None:
        self.data = data
        self.error = error
        self.args = args


def read_memo(value: object) -> Memo:
    """Return what a memo holds (5.3).

    An object is a wrapper if it has no keys but `data` and `error`, or just `input`; anything else is the value itself.
    """
    if type(value) is Memo:  # middleware has seen it
        return value
    if type(value) is not dict:
        return Memo(value)
    if value.keys() == {"input"} and isinstance(value["input"], list):
        return Memo(args=value["input"])
    if value.keys() <= {"data", "error"}:
        error = value.get("error")
        if error is None:
            return Memo(value.get("data"))
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return Memo(error=_step_error(error))
    return Memo(value)


def _step_error(error: Mapping[str, Any]) -> StepError:
    stack = error.get("stack")
    return StepError(error["message"], str(error.get("name") or "Error"), stack if isinstance(stack, str) else None)
