"""Faults on demand: what goes wrong between an executor and its apps, and when. No I/O."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import NamedTuple

from stepserve_core._durations import Duration, to_milliseconds
from stepserve_core.errors import ConfigurationError

__all__ = ["KINDS", "MOST_PER_CALL", "Fault", "Faults"]

KINDS = (
    "kill_between_steps",
    "duplicate_delivery",
    "reorder",
    "late_answer",
    "drop_answer",
    "clock_skew",
    "corrupt_body",
)
"""The kinds of faults, by the names of their probabilities."""

MOST_PER_CALL = 3
"""Faults that one call suffers at most; then it goes through, so that even what always fails comes to an end."""


class Fault(NamedTuple):
    """A fault that happens to one delivery of a call. `draw` in [0, 1) decides what else is left to chance."""

    kind: str
    draw: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Faults:
    """Which faults happen to the calls of functions, and how often.

    None of them uses up an attempt, so that a correct function ends as it does without them. A call suffers three at
    most, and one at a time. The same seed gives the same faults, where functions are called in the same order.

    Args:
        kill_between_steps: probability that the process dies when a step was executed and before that is recorded; the
            call is made again at once.
        duplicate_delivery: probability that a call is delivered twice, at once or one after the other; one answer
            counts.
        reorder: probability that a call that is due is made after the others that are.
        late_answer: probability that an answer comes only after `late_by`.
        drop_answer: probability that an answer is lost on its way; the call is made again after the usual pause.
        clock_skew: probability that the clocks of server and app differ by `skew`: apps with keys refuse such a call,
            and it is made again. In a harness the app's clock is off while the function is called.
        corrupt_body: probability that the body of a call arrives damaged; apps refuse it, and it is made again.
        late_by: how late answers are, as text such as "30s", a timedelta or milliseconds.
        skew: how much clocks differ.
        always_replay: call functions anew for each step, whatever their checkpointing says.
        seed: what the faults are drawn from.

    Raises:
        ConfigurationError: something is no probability, no duration or no seed.
    """

    kill_between_steps: float = 0.0
    duplicate_delivery: float = 0.0
    reorder: float = 0.0
    late_answer: float = 0.0
    drop_answer: float = 0.0
    clock_skew: float = 0.0
    corrupt_body: float = 0.0
    late_by: Duration = "30s"
    skew: Duration = "10m"
    always_replay: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in KINDS:
            chance: object = getattr(self, kind)
            if isinstance(chance, bool) or not isinstance(chance, (int, float)) or not 0 <= chance <= 1:
                raise ConfigurationError(f"Faults({kind}=…) is a probability from 0 to 1, not {chance!r}")
        for name in ("late_by", "skew"):
            _check_duration(name, getattr(self, name))
        if not isinstance(self.always_replay, bool):
            raise ConfigurationError(f"Faults(always_replay=…) is True or False, not {self.always_replay!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigurationError(f"Faults(seed=…) is an int, not {self.seed!r}")

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read settings such as "drop_answer=0.1,late_answer=0.2,late_by=5s,seed=7".

        Raises:
            ConfigurationError: a name is not known, or a value does not fit.
        """
        values: dict[str, object] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in _READERS:
                raise ConfigurationError(f"{name!r} is no fault; there are {', '.join(_READERS)}")
            try:
                values[name] = _READERS[name](value)
            except (KeyError, ValueError):
                raise ConfigurationError(f"{name}={value} cannot be read; see docs/testing.md") from None
        return cls(**values)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - checked after that

    @property
    def late_seconds(self) -> float:
        """How late answers are."""
        return to_milliseconds(self.late_by) / 1000

    @property
    def skew_seconds(self) -> float:
        """How much clocks differ."""
        return to_milliseconds(self.skew) / 1000

    def choose(self, run: int, call: int, delivery: int) -> Fault | None:
        """Return what happens to a delivery of a call: all three are counted from 0, calls within their run."""
        if delivery >= MOST_PER_CALL:
            return None
        source = random.Random(f"{self.seed}:{run}:{call}:{delivery}")  # noqa: S311 - to be repeated, not to be secret
        # Every kind is drawn for, so that the probability of one does not change what the others do.
        draws = [(kind, source.random()) for kind in KINDS]
        hits = [kind for kind, draw in draws if draw < getattr(self, kind)]
        return Fault(source.choice(hits), source.random()) if hits else None


def _check_duration(name: str, value: Duration) -> None:
    try:
        is_positive = to_milliseconds(value) > 0
    except (TypeError, ValueError):
        is_positive = False
    if not is_positive:
        raise ConfigurationError(f"Faults({name}=…) is a duration such as '30s', longer than none, not {value!r}")


def _read_flag(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(KINDS, float),
    "late_by": str,
    "skew": str,
    "always_replay": _read_flag,
    "seed": int,
}
