"""Measure the test harness: steps per second, and CPU time per step, in both colours.

    python benchmarks/harness.py [--rounds 30]

20 runs of 10 steps in a fresh harness, best of the rounds: called anew for each step, as by default, and going on with
checkpointing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import Any

from stepserve import Checkpointing, Context, ContextSync, Event, Inngest, TriggerEvent
from stepserve.testing import Harness, HarnessSync

RUNS, STEPS = 20, 10
MODES = {
    "called anew for each step": False,
    "checkpointing": True,
    "checkpointing, batches of 20": Checkpointing(batch_steps=20),
}

client = Inngest(app_id="bench", is_production=True)
EVENTS = [Event(name="bench/go") for _ in range(RUNS)]
TRIGGER = TriggerEvent(event="bench/go")


@client.create_function(fn_id="async", trigger=TRIGGER)
async def function(ctx: Context) -> int:
    """Take ten steps."""
    return sum([await ctx.step.run(f"step {n}", int, n) for n in range(STEPS)])


@client.create_function(fn_id="sync", trigger=TRIGGER)
def function_sync(ctx: ContextSync) -> int:
    """Take ten steps."""
    return sum(ctx.step.run(f"step {n}", int, n) for n in range(STEPS))


async def run(mode: Any) -> tuple[float, float]:
    """Return real time and CPU time of a round."""
    async with Harness(client, [function], checkpointing=mode) as h:
        wall, cpu = time.perf_counter(), time.process_time()
        await h.send(EVENTS)
        await h.run_until_idle()
        return time.perf_counter() - wall, time.process_time() - cpu


def run_sync(mode: Any) -> tuple[float, float]:
    """Return real time and CPU time of a round."""
    with HarnessSync(client, [function_sync], checkpointing=mode) as h:
        wall, cpu = time.perf_counter(), time.process_time()
        h.send(EVENTS)
        h.run_until_idle()
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Run the measurements and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print(f"{RUNS} runs of {STEPS} steps, best of {rounds}, {os.cpu_count()} CPUs")
    for name, mode in MODES.items():
        for colour, measured in (
            ("async def", [asyncio.run(run(mode)) for _ in range(rounds)]),
            ("def", [run_sync(mode) for _ in range(rounds)]),
        ):
            wall, cpu = (min(times) / (RUNS * STEPS) for times in zip(*measured, strict=True))
            print(f"{name:<30}{colour:<11}{1 / wall:>8,.0f} steps/s{cpu * 1e6:>7.0f} µs CPU per step")


if __name__ == "__main__":
    main()
