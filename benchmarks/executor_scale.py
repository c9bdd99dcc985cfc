"""Measure whether the executor's cost grows with what is stored.

    python benchmarks/executor_scale.py [--runs 0,1000,1000000] [--sleeping 0,100000] [--directory DIR] [--keep]

Each pair of sizes gets a database of its own, filled through the store's own statements (ended runs of one step over
the last 23 hours, so that their idempotency keys are alive too; half of the open runs sleep for a day, half wait for
an event), and is then measured in a fresh process: the time to start and to call the first due item, memory, CPU per
step of new runs, and CPU per page of lists. CPU is `time.process_time`, which other work on the machine disturbs
least; the smallest of several rounds is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import executor as bench  # the same raw app and the same work
from benchmarks.sdk.measure import memory_status, peak_memory, progress
from stepserve_core._opcodes import hash_step_id
from stepserve_core.executor import Executor, Store, ids
from stepserve_core.executor.decisions import EndRun, StepRef
from stepserve_core.executor.events import make_event
from stepserve_core.executor.expression_equalities import match_of
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.internal_events import ending_events
from stepserve_core.executor.run_lists import list_runs
from stepserve_core.executor.run_search import Position, RunFilter, RunSearch
from stepserve_core.executor.store.pauses import WAIT, Pause
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun
from stepserve_core.executor.store.steps import Timing
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.transport import EmbeddedTransport

SPAN, DAY = 23 * 3600.0, 86_400.0
STEP = StepRef(hash_step_id("step 0"), "step 0", "StepRun")
NAP, ANSWER = StepRef(hash_step_id("nap"), "nap", "Sleep"), StepRef(hash_step_id("answer"), "answer", "WaitForEvent")
CONDITION = "async.data.n == event.data.n"
COMMON, RARE = (ids.function_id(ids.app_id("bench"), slug) for slug in ("bench-f", "bench-rare"))
_PIECE = 2000


def add_ended(tables: Tables, number: int, at: float) -> None:
    """Store a run of one step that ended at a moment, with its events; some failed, few are of the rare function."""
    function = RARE if number % 10_000 == 0 else COMMON
    name = "bench/rare" if function == RARE else "bench/go"
    event = make_event(name, {"n": number, "payload": "x" * 200}, internal_id=ids.new_id(at), now=at)
    run_id = ids.new_id(at)
    seq = tables.events.add(event)
    tables.runs.reserve(f"{function}-{event.id}", run_id, at, at + DAY)
    tables.runs.add(NewRun(run_id, function, 1, seq, at, at))
    tables.runs.start(run_id, at)
    timing = Timing(at, at, at)
    tables.steps.record(run_id, STEP, b'{"data":{"n":0}}', "Completed", timing)
    failure = Failure("no", "no") if number % 1000 == 1 else None
    end = EndRun("Completed", b'"done"') if failure is None else EndRun("Failed", failure.output, failure)
    tables.steps.add_attempt(run_id, "", end.status, timing, None)
    tables.runs.end(run_id, end.status, end.output, at)
    for internal in ending_events(end, run_id, "bench-f", name, [event.body], None, at):
        tables.events.add(internal)


def add_open(tables: Tables, number: int, now: float) -> None:
    """Store a run that sleeps for a day, or waits for an event of its own number."""
    event = make_event("bench/open", {"n": number}, internal_id=ids.new_id(now), now=now)
    run_id = ids.new_id(now)
    tables.runs.add(NewRun(run_id, COMMON, 1, tables.events.add(event), now, now))
    tables.runs.start(run_id, now)
    step, kind = (NAP, "sleep") if number % 2 else (ANSWER, "timeout")
    tables.steps.open(run_id, step, "Sleeping" if number % 2 else "Waiting", now)
    tables.queue.add(QueueItem(f"{run_id}:{kind}:{step.hash}", kind, run_id, COMMON, now + DAY, now, step.hash), now)
    if step is ANSWER:
        match = match_of(CONDITION, event.value)
        tables.pauses.add(Pause(run_id, step.hash, WAIT, "bench/answer", CONDITION, None, now + DAY, *match))


async def fill(path: str, ended: int, open_: int) -> float:
    """Fill a database; return how many seconds that took."""
    started, now = time.perf_counter(), time.time()
    store = Store(path, synchronous="OFF")
    executor = Executor(store, transport=EmbeddedTransport(bench.RawHandler()))
    await executor.register(bench.registration("http://embedded/api/inngest"))
    for first in range(0, ended, _PIECE):
        piece = range(first, min(first + _PIECE, ended))
        await store.write(partial(_add_all, add_ended, [(n, now - SPAN * (1 - n / ended)) for n in piece]))
    for first in range(0, open_, _PIECE):
        piece = range(first, min(first + _PIECE, open_))
        await store.write(partial(_add_all, add_open, [(n, now) for n in piece]))
    store.close()
    return time.perf_counter() - started


def _add_all(add: Callable[[Any, int, float], None], rows: list[tuple[int, float]], tables: Any) -> None:
    for number, moment in rows:
        add(tables, number, moment)


async def leave_work(path: str) -> None:
    """Leave a run that is due, as a process does that dies."""
    store = Store(path)
    executor = Executor(store, transport=EmbeddedTransport(bench.RawHandler()))
    executor.registry = executor.registry.replaced(await store.read(lambda tables: tables.apps.functions()))
    await executor.send({"name": "bench/go", "data": {"steps": 1}})
    store.close()


async def start(path: str) -> tuple[Executor, float]:
    """Start an executor on a filled database; return it and the seconds until the first due item had been called."""
    await leave_work(path)
    began = time.perf_counter()
    called = asyncio.Event()

    class Handler(bench.RawHandler):
        async def ahandle(self, request: Any) -> Any:
            called.set()
            return await super().ahandle(request)

    executor = Executor(Store(path), transport=EmbeddedTransport(Handler()))
    await executor.start()
    await called.wait()
    seconds = time.perf_counter() - began
    await executor.loop.idle()
    return executor, seconds


async def cost(work: Callable[[], Awaitable[object]], count: int, rounds: int = 5) -> float:
    """Return the smallest CPU time of `work`, in µs for each of the `count` things that it does."""
    found: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        await work()
        found.append((time.process_time() - began) * 1e6 / count)
    return min(found)


def lists(executor: Executor) -> Iterator[tuple[str, Callable[[], Awaitable[object]]]]:
    """Yield what is listed and searched."""
    now = time.time()

    def page(search: str = "", after: Position | None = None, **wanted: Any) -> Callable[[], Awaitable[object]]:
        return lambda: list_runs(executor.read, RunFilter(**wanted), RunSearch(search), after, 40)

    def events(name: str | None) -> Callable[[], Awaitable[object]]:
        begin, end = ids.first_id(now - DAY), ids.first_id(now + 60)
        return lambda: executor.read(lambda tables: tables.events.search(begin, end, name, 20))

    yield "newest runs", page()
    yield "runs in the middle", page(after=Position(now - SPAN / 2, "0"))
    yield "oldest runs", page(newest_first=False)
    yield "runs by start", page(time_field="started_at")
    yield "runs by end", page(time_field="ended_at")
    yield "failed runs", page(statuses=("Failed",))
    yield "skipped runs (none)", page(statuses=("Skipped",))
    yield "completed and failed", page(statuses=("Completed", "Failed"))
    yield "open runs", page(statuses=("Running", "Scheduled"))
    yield "runs of a rare function", page(function_ids=(RARE,))
    yield "runs of two functions", page(function_ids=(COMMON, RARE))
    yield "failed of a function", page(function_ids=(RARE,), statuses=("Failed",))
    yield "number of runs", lambda: executor.read(lambda tables: tables.run_pages.count(RunFilter()))
    yield "search, all match", page("event.data.n >= 0")
    yield "search, none match", page("event.data.n == -1")
    yield "newest events", events(None)
    yield "rare events", events("bench/rare")
    yield "common events", events("bench/go")


async def measure(path: str) -> dict[str, float]:
    """Return the figures of a filled database."""
    executor, seconds = await start(path)
    figures = {"start, ms": seconds * 1000}
    try:
        figures["memory, MB"] = memory_status("VmRSS")

        async def runs() -> None:
            await bench._send(executor, 50, 20)
            await executor.loop.idle()

        figures["a step, µs"] = await cost(runs, 50 * 21)
        for name, work in lists(executor):
            figures[f"{name}, µs"] = await cost(work, 1)
        numbers = iter(range(0, 10**9, 2))

        async def answers() -> None:
            await executor.send([{"name": "bench/answer", "data": {"n": next(numbers)}} for _ in range(100)])

        figures["an awaited event, µs"] = await cost(answers, 100)
        figures["peak memory, MB"] = peak_memory()
    finally:
        await executor.stop()
    return figures


def measured(folder: str, ended: int, open_: int) -> dict[str, float]:
    """Fill a database unless it is there, and measure it in another process."""
    path = Path(folder) / f"scale-{ended}-{open_}.db"
    if not path.exists():
        seconds = asyncio.run(fill(str(path), ended, open_))
        progress(f"filled {ended:,} + {open_:,} in {seconds:.0f} s, {path.stat().st_size / 2**20:,.0f} MB")
    child = [sys.executable, os.path.abspath(__file__), "--measure", str(path)]
    figures: dict[str, float] = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def main() -> None:
    """Fill, measure, and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", default="0,1000,1000000", help="numbers of ended runs")
    parser.add_argument("--sleeping", default="0,100000", help="numbers of open runs")
    parser.add_argument("--directory", default=None, help="where the databases are written, and kept")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure))))
        return
    runs, sleeping = ([int(size) for size in text.split(",")] for text in (options.runs, options.sleeping))
    sizes = [(ended, sleeping[0]) for ended in runs] + [(runs[0], open_) for open_ in sleeping[1:]]
    with tempfile.TemporaryDirectory() as folder:
        table = [measured(options.directory or folder, *size) for size in sizes]
    print(f"{'ended + open runs':<26}" + "".join(f"{f'{ended:,} + {open_:,}':>22}" for ended, open_ in sizes))
    for name in table[0]:
        print(f"{name:<26}" + "".join(f"{figures[name]:>22,.1f}" for figures in table))


if __name__ == "__main__":
    main()
