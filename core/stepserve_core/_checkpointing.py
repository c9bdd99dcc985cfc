"""The settings of checkpointing: whether a call goes on after a step that it executed (protocol.md 13.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepserve_core import _durations
from stepserve_core._config import Option, Problem
from stepserve_core._durations import Duration

DEFAULT_RUNTIME = 10_000
"""Milliseconds that a call goes on by default: well below what proxies and platforms give a request."""


class Checkpointing(Option, kw_only=True):
    """Go on after each step instead of answering, and save its result on the way (protocol.md 13.1).

    Args:
        batch_steps: how many steps are saved together. With 1, each is saved before the next begins. With more, they
            are saved while the function goes on; a crash makes up to `2 * batch_steps - 1` steps run again.
        batch_interval: save what a batch holds after this time, also if it is not full.
        max_runtime: after this time, the next step is left to another call, unless it is the first one of this call;
            None for no limit.
    """

    batch_steps: int = 1
    batch_interval: Duration | None = None
    max_runtime: Duration | None = DEFAULT_RUNTIME

    def problems(self) -> Iterator[Problem]:
        """Yield what cannot be used."""
        if type(self.batch_steps) is not int:
            yield Problem("batch_steps", "Input should be a valid integer", is_type=True)
        elif self.batch_steps < 1:
            yield Problem("batch_steps", f"must be at least 1, not {self.batch_steps}")
        for field in ("batch_interval", "max_runtime"):
            value: Any = getattr(self, field)
            try:
                if value is not None and _durations.to_milliseconds(value) <= 0:
                    yield Problem(field, "must be longer than nothing")
            except TypeError as error:
                yield Problem(field, str(error), is_type=True)
            except ValueError as error:
                yield Problem(field, str(error))

    def wire(self) -> dict[str, Any]:
        """Return the JSON form, which servers only show."""
        return {
            "batch_steps": self.batch_steps,
            "batch_interval": _text(self.batch_interval),
            "max_runtime": _text(self.max_runtime),
        }

    @property
    def interval_seconds(self) -> float | None:
        """`batch_interval` in seconds."""
        return None if self.batch_interval is None else _durations.to_milliseconds(self.batch_interval) / 1000

    @property
    def runtime_seconds(self) -> float | None:
        """`max_runtime` in seconds."""
        return None if self.max_runtime is None else _durations.to_milliseconds(self.max_runtime) / 1000


def find_problems(given: object) -> Iterator[str]:
    """Yield what is wrong with an argument `checkpointing=`."""
    if isinstance(given, Checkpointing):
        yield from (f"checkpointing.{problem.field} {problem.text}" for problem in given.problems())
    elif given is not None and not isinstance(given, bool):
        yield f"checkpointing: must be True, False or Checkpointing(…), not {type(given).__name__}"


def resolve(*given: bool | Checkpointing | None) -> Checkpointing | None:
    """Return the settings that hold: the first that says something, of the function and then of the client."""
    chosen = next((one for one in given if one is not None), False)
    if isinstance(chosen, bool):
        return Checkpointing() if chosen else None
    return chosen


def _text(duration: Duration | None) -> str | None:
    return None if duration is None else f"{_durations.to_milliseconds(duration)}ms"
