"""How a run in a test ended."""

from __future__ import annotations

import dataclasses
import enum


class Status(enum.Enum):
    """Whether the function returned or failed."""

    COMPLETED = "Completed"
    FAILED = "Failed"


@dataclasses.dataclass
class Result:
    """How a run ended.

    `output` is what the function returned; through the client's serializer, if that has a say. `error` is the
    exception with which it failed; where that is the `StepError` of a failed step, it is what the step raised.
    """

    error: Exception | None
    output: object
    status: Status
