"""Step ids, opcodes and their wire form (protocol.md 5.6 and 6.1). No I/O."""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Opcode(enum.Enum):
    """What a step asks of the server."""

    AI_GATEWAY = "AIGateway"
    DEFER_ABORT = "DeferAbort"
    DEFER_ADD = "DeferAdd"
    GATEWAY = "Gateway"
    INVOKE = "InvokeFunction"
    PLANNED = "StepPlanned"
    RUN_COMPLETE = "RunComplete"
    SLEEP = "Sleep"
    STEP_ERROR = "StepError"
    STEP_FAILED = "StepFailed"
    STEP_RUN = "StepRun"
    WAIT_FOR_EVENT = "WaitForEvent"
    WAIT_FOR_SIGNAL = "WaitForSignal"


class ParallelMode(enum.Enum):
    """When the server calls again in a parallel group: after each step, or after all of them (protocol.md 6.5)."""

    RACE = "race"
    WAIT = "wait"


class ErrorObject(msgspec.Struct):
    """An error on the wire (5.9)."""

    code: str
    message: str
    name: str
    stack: str | None


class Userland(msgspec.Struct, frozen=True):
    """The id as the user wrote it; `index` counts its repeats and is None for the first use."""

    id: str
    index: int | None


class Timing(msgspec.Struct, frozen=True):
    """When a step was executed: Unix nanoseconds of its start, and how many it took (13.1)."""

    a: int
    b: int


class Op(msgspec.Struct):
    """One entry of a 206 answer; the fields are in the order of the wire."""

    display_name: str = msgspec.field(name="displayName")
    id: str
    name: str
    op: str
    opts: object
    userland: Userland
    error: ErrorObject | msgspec.UnsetType = msgspec.UNSET
    data: object = None
    metadata: tuple[object, ...] | msgspec.UnsetType = msgspec.UNSET
    timing: Timing | msgspec.UnsetType = msgspec.UNSET


MOST_HASHES = 16_384
"""Hashes of step ids that a process keeps."""


class _Hashes(dict[str, str]):
    """The hashes of step ids: a run of N steps asks for the same N in each of its N + 1 calls.

    A dict takes half the time of `functools.lru_cache`.
    """

    def __missing__(self, step_id: str) -> str:
        import hashlib  # noqa: PLC0415 - it loads OpenSSL, and once for each id that is new is not often

        if len(self) >= MOST_HASHES:
            self.clear()
        hashed = self[step_id] = hashlib.sha1(step_id.encode(), usedforsecurity=False).hexdigest()
        return hashed


hash_step_id: Final = _Hashes().__getitem__
"""Returns the id of a step on the wire: SHA-1 of its text, as hex (6.1)."""
