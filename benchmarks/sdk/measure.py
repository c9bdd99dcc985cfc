"""Take interleaved samples of CPU time."""

import gc
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SECONDS_PER_SAMPLE = 0.01
SECONDS_PER_SUBJECT = 2.0
FEWEST_ROUNDS = 3

Repeat = Callable[[int], float]


@dataclass(frozen=True)
class Samples:
    """What one subject needed, one value for each round."""

    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def interleaved(cases: Mapping[str, Repeat], rounds: int) -> dict[str, Samples]:
    """Measure each case in turn, round after round, so that a disturbance of the machine meets all of them.

    Each case is a function that repeats its work the given number of times and returns CPU seconds. A sample lasts
    about 10 ms of CPU; a case so slow that the rounds would take over 2 s gets fewer of them, at least 3.

    Returns:
        Seconds of CPU for one repetition, for each case.
    """
    repetitions: dict[str, int] = {}
    rounds_of: dict[str, int] = {}
    for name, repeat in cases.items():
        repeat(2)
        once = max(repeat(1), 1e-6)
        repetitions[name] = max(1, round(SECONDS_PER_SAMPLE / once))
        affordable = int(SECONDS_PER_SUBJECT / (once * repetitions[name]))
        rounds_of[name] = max(FEWEST_ROUNDS, min(rounds, affordable))
    values: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, repeat in cases.items():
            if number < rounds_of[name]:
                gc.collect()
                values[name].append(repeat(repetitions[name]) / repetitions[name])
    return {name: Samples(taken) for name, taken in values.items()}


def progress(text: str) -> None:
    """Tell a person what is being measured, apart from the results."""
    print(f"  {text}", file=sys.stderr, flush=True)
