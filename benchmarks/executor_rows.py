"""Rows about the executor and what runs on it: checkpointed runs, latency and throughput, test mode, sleeping runs.

The scripts of the same names measure; here their figures become rows with the goals of design.md section 9.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import checkpointing, executor, executor_scale, harness
from benchmarks.sdk.measure import Samples, progress
from benchmarks.sdk.subjects import OURS
from benchmarks.sdk.table import Goal, Row

SLEEPING = 100_000
CHECKPOINTED = {"off": None, "1": None, "10": None, "100": Goal(at_most=0.1)}
"""The goal is one for long runs without waiting: the largest batches."""

_BATCHES = {"off": "no checkpointing", "1": "a checkpoint for each step"}
_WORKS = {
    "one": ("one run of 10 steps alone", "ms", 1e-3),
    "runs": ("200 runs of one step at once", "runs/s", 1.0),
    "steps": ("100 runs of 20 steps at once", "steps/s", 1.0),
}
"""What executor.py measures: the title, the unit, and what its figures are multiplied with to be samples."""
_GOALS = {
    "HTTP, raw app": {"one": Goal(at_most=50), "runs": Goal(at_least=600), "steps": Goal(at_least=1_000)},
    "in process, raw app": {"steps": Goal(at_least=3_000)},
    "in process, our SDK": {"steps": Goal(at_least=3_000)},
}


def checkpoint_rows(subjects: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure whole runs over HTTP, with and without checkpointing: CPU of the app's process, and the time it takes."""
    progress(f"runs of {checkpointing.STEPS} steps on our executor")
    costs = asyncio.run(checkpointing.measure(rounds, CHECKPOINTED))
    run = f"one run of {checkpointing.STEPS} steps on our executor, over HTTP"
    for group, field in ((f"{run}: CPU of the app's whole process", 0), (f"{run}: from the event to its end", 1)):
        for name, taken in costs.items():
            colour, _, batch = name.partition("/")
            how = _BATCHES.get(batch, f"checkpoints of {batch} steps")
            goal = CHECKPOINTED[batch] if field == 0 else None
            what = f"{'def' if colour == 'sync' else 'async def'}, {how}"
            yield _ours(group, what, "s", [cost[field] for cost in taken], goal)


def executor_rows(
    subjects: tuple[str, ...], rounds: int, durabilities: tuple[bool, ...] = (True, False)
) -> Iterator[Row]:
    """Measure latency and throughput, over HTTP and in process, durable (each commit synced) and in memory."""
    for title, measurement in executor.MEASUREMENTS.items():
        for durable in durabilities:
            kept = "durable" if durable else "in memory"
            progress(f"executor, {title}, {kept}")
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "bench.db") if durable else None
                figures = asyncio.run(measurement(path, "FULL", rounds))
            for key, (what, unit, scale) in _WORKS.items():
                goal = _GOALS[title].get(key) if durable else None
                values = [value * scale for value in figures[key]]
                yield _ours(f"executor, {title}, {kept}", what, unit, values, goal)


def harness_rows(subjects: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure steps per second of the test harness: everything in memory, time virtual."""
    group = f"test mode, {harness.RUNS} runs of {harness.STEPS} steps"
    steps = harness.RUNS * harness.STEPS
    for name, mode in harness.MODES.items():
        progress(f"test mode, {name}")
        sync = [steps / harness.run_sync(mode)[0] for _ in range(rounds)]
        on_loop = [steps / asyncio.run(harness.run(mode))[0] for _ in range(rounds)]
        yield _ours(group, f"def, {name}", "steps/s", sync, Goal(at_least=10_000))
        yield _ours(group, f"async def, {name}", "steps/s", on_loop, Goal(at_least=10_000))


def sleeping_rows(subjects: tuple[str, ...], rounds: int, sleeping: int = SLEEPING) -> Iterator[Row]:
    """Measure starts after a crash, each in a fresh process, on a database of runs that sleep or wait."""
    progress(f"{sleeping:,} sleeping runs")
    with tempfile.TemporaryDirectory() as folder:
        taken = [executor_scale.measured(folder, 0, sleeping) for _ in range(rounds)]
    group = f"executor, durable, {sleeping:,} runs that sleep or wait"

    def row(what: str, key: str, unit: str, scale: float, goal: Goal | None) -> Row:
        return _ours(group, what, unit, [figures[key] * scale for figures in taken], goal)

    yield row("after a crash, until the first due item was called", "start, ms", "ms", 1e-3, Goal(at_most=3_000))
    yield row("memory after the start", "memory, MB", "MB", 1.0, Goal(at_most=200))
    yield row("peak memory after work and lists", "peak memory, MB", "MB", 1.0, Goal(at_most=200))
    yield row("CPU of a step of a new run", "a step, µs", "µs", 1e-6, None)


def _ours(group: str, what: str, unit: str, values: list[float], goal: Goal | None) -> Row:
    """Return a row of which there is only our own number."""
    return Row(group, what, unit, {OURS: Samples(values)}, goal)
