"""Measure everything that design.md section 9 has a goal for, and print one table.

    nox -s bench [-- --quick] [--only calls,executor] [--json FILE]

The whole takes less than 8 minutes on a quiet machine; it is written into benchmarks/README.md, with growth.png beside
it. `--quick` takes less than one: fewest rounds, the official SDK only where it is fast. What it and `--only` measure
is printed and not written down.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import sdk_call  # the path above must be set first; this finds the sources of a checkout
from benchmarks.executor_rows import checkpoint_rows, executor_rows, harness_rows, sleeping_rows
from benchmarks.report import report, write
from benchmarks.sdk.measure import Noise, progress
from benchmarks.sdk.rows.calls import event_rows, memo_rows, refused_rows
from benchmarks.sdk.rows.http import http_rows
from benchmarks.sdk.rows.process import import_rows, memory_rows
from benchmarks.sdk.rows.runs import run_rows
from benchmarks.sdk.rows.send import send_rows
from benchmarks.sdk.subjects import FLOOR, OURS, SUBJECTS
from benchmarks.sdk.table import Row

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Section:
    """Rows that are measured together: with how many rounds, and what of it `--quick` measures."""

    rows: Callable[[tuple[str, ...], int], Iterator[Row]]
    rounds: int = 15
    quick_rows: Callable[[tuple[str, ...], int], Iterator[Row]] | None = None
    quick_rounds: int = 1
    quick_subjects: tuple[str, ...] = (FLOOR, OURS)

    def measure(self, *, quick: bool) -> Iterator[Row]:
        """Yield the rows."""
        if not quick:
            return self.rows(SUBJECTS, self.rounds)
        return (self.quick_rows or self.rows)(self.quick_subjects, self.quick_rounds)


SECTIONS = {
    "calls": Section(
        partial(memo_rows, frameworks=("flask", "fastapi"), signatures=(True,)),
        quick_rounds=3,
        quick_subjects=SUBJECTS,
    ),
    "bodies": Section(partial(event_rows, smallest=MEGABYTE)),
    "refused": Section(partial(refused_rows, smallest=MEGABYTE)),
    "memory": Section(memory_rows, rounds=3),
    "import": Section(import_rows, quick_rows=partial(import_rows, fewest=3), quick_subjects=(OURS,)),
    "http": Section(http_rows, rounds=3),
    "send": Section(send_rows, quick_rounds=3, quick_subjects=SUBJECTS),
    "runs": Section(run_rows, rounds=3, quick_rows=partial(run_rows, frameworks=("fastapi",)), quick_subjects=(OURS,)),
    "checkpoints": Section(checkpoint_rows, rounds=3),
    "executor": Section(executor_rows, rounds=3, quick_rows=partial(executor_rows, durabilities=(True,))),
    "test-mode": Section(harness_rows, quick_rounds=3),
    "sleeping": Section(sleeping_rows, rounds=3, quick_rows=partial(sleeping_rows, sleeping=10_000)),
}


def main() -> None:
    """Measure, print, and write down what was measured as a whole."""
    options = _options()
    started, noise = time.perf_counter(), Noise()
    load = os.getloadavg()[0]
    rows: list[Row] = []
    for name in options.only:
        began = time.perf_counter()
        # Rows that come later must not pay for what earlier ones have imported and kept.
        gc.collect()
        gc.freeze()
        noise.sample()
        rows += SECTIONS[name].measure(quick=options.quick)
        progress(f"{name}: {time.perf_counter() - began:.0f} s")
    noise.sample()
    origin = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%d %B %Y, %H:%M UTC"),
        "command": f"`{_command(options)}`, which took {time.perf_counter() - started:.0f} s",
        **sdk_call.described_machine(),
        "noise": f"{noise}. The load average was {load:.1f} at the beginning",
    }
    text = report(rows, SUBJECTS, origin)
    print(text)
    if options.json:
        measured = {"origin": origin, "noise": noise.cpu, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(measured, ensure_ascii=False, indent=1) + "\n")
    if not options.quick and options.only == tuple(SECTIONS):
        write(rows, text)


def _command(options: argparse.Namespace) -> str:
    """Return what to type for the same rows; where else the samples went is nobody's concern."""
    in_nox = "NOX_CURRENT_SESSION" in os.environ
    only = [] if options.only == tuple(SECTIONS) else ["--only", ",".join(options.only)]
    given = [*(["--quick"] if options.quick else []), *only]
    program = ["nox", "-s", "bench", *(["--"] if given else [])] if in_nox else ["python", "benchmarks/bench.py"]
    return shlex.join([*program, *given])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less than a minute; not written down")
    known = tuple(SECTIONS)
    parser.add_argument("--only", type=sdk_call.choices(known), default=known, help=f"some of {', '.join(known)}")
    parser.add_argument("--json", type=Path, help="where every sample is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
