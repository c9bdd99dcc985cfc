"""Take interleaved samples of CPU time."""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS_PER_SAMPLE = 0.01
SECONDS_PER_SUBJECT = 2.0
FEWEST_ROUNDS = 3
NOISE_LOOP = 200_000

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


class Noise:
    """Tell how steady the machine is, by the same small piece of pure Python again and again."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def sample(self, times: int = 7) -> None:
        """Take some samples of about 10 ms."""
        for _ in range(times):
            wall, cpu = time.perf_counter(), time.process_time()
            sum(number * number for number in range(NOISE_LOOP))
            self.cpu.append(time.process_time() - cpu)
            self.wall.append(time.perf_counter() - wall)

    def __str__(self) -> str:
        cpu, wall = sorted(self.cpu), sorted(self.wall)
        shown = (f"{min(cpu) * 1e3:.1f} ms of CPU at best", f"{statistics.median(cpu) * 1e3:.1f} in the median")
        waited = statistics.median(wall) / statistics.median(cpu)
        worst = f"{cpu[-1] * 1e3:.1f} at worst; it took {waited:.2f} times as long as its CPU"
        return f"the same loop, {len(cpu)} times between the sections: {', '.join((*shown, worst))}"


def progress(text: str) -> None:
    """Tell a person what is being measured, apart from the results."""
    print(f"  {text}", file=sys.stderr, flush=True)


def peak_memory() -> float:
    """Return the most memory that this process held, in MB; where there is Linux, without what its parent held."""
    if Path("/proc/self/status").exists():
        return memory_status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def memory_status(field: str) -> float:
    """Return a field of /proc/self/status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1_024 / 1e6
    raise LookupError(field)
