"""Measure what the SDK costs, side by side in one run: ours, the official package, and a bare route as the floor.

    python benchmarks/sdk_call.py [--rows calls,bodies,refused,memory,import,http,runs,send] [--rounds N]
                                  [--subjects floor,official,ours] [--json FILE]

What each row is, and what to install, is in benchmarks/README.md.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# From a checkout that is not installed, use its sources, here and in the processes that we start.
if importlib.util.find_spec("stepserve") is None:
    SOURCES = [str(ROOT / "core"), str(ROOT / "adapters")]
    sys.path[:0] = SOURCES
    os.environ["PYTHONPATH"] = os.pathsep.join([*SOURCES, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

from benchmarks.sdk.measure import progress  # noqa: E402 - the path above must be set first
from benchmarks.sdk.rows.calls import event_rows, memo_rows, refused_rows  # noqa: E402 - same
from benchmarks.sdk.rows.http import http_rows  # noqa: E402 - same
from benchmarks.sdk.rows.process import import_rows, memory_rows  # noqa: E402 - same
from benchmarks.sdk.rows.runs import run_rows  # noqa: E402 - same
from benchmarks.sdk.rows.send import send_rows  # noqa: E402 - same
from benchmarks.sdk.subjects import SUBJECTS  # noqa: E402 - same
from benchmarks.sdk.table import Row, render  # noqa: E402 - same

Rows = dict[str, Callable[[tuple[str, ...], int], Iterator[Row]]]

ROWS: Rows = {
    "calls": memo_rows,
    "bodies": event_rows,
    "refused": refused_rows,
    "memory": memory_rows,
    "import": import_rows,
    "http": http_rows,
    "runs": run_rows,
    "send": send_rows,
}
DISTRIBUTIONS = (
    "inngest",
    "stepserve",
    "flask",
    "fastapi",
    "starlette",
    "uvicorn",
    "httptools",
    "uvloop",
    "httpx",
    "msgspec",
)


def main(known: Rows = ROWS, description: str = str(__doc__)) -> None:
    """Measure those of the known rows that were asked for, and print them."""
    options = _options(known, description)
    started = time.perf_counter()
    rows: list[Row] = []
    for name in options.rows:
        progress(f"{name} …")
        rows += known[name](options.subjects, options.rounds)
    machine = described_machine()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print(f"medians of {options.rounds} interleaved rounds (slow subjects: fewer, at least 3); in brackets the best\n")
    print(render(rows, options.subjects))
    print(f"\n{time.perf_counter() - started:.0f} s in all")
    if options.json:
        measured = {"machine": machine, "rounds": options.rounds, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(measured, ensure_ascii=False, indent=1) + "\n")


def _options(known: Rows, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=choices(tuple(known)), default=tuple(known))
    parser.add_argument("--subjects", type=choices(SUBJECTS), default=SUBJECTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def choices(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads a list with commas of some of the known names, in their order."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return tuple(name for name in known if name in chosen)

    return parse


def described_machine() -> dict[str, str]:
    """Describe what the figures were taken on."""
    installed: list[str] = []
    for name in DISTRIBUTIONS:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            installed.append(f"{name} not installed")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs ({_processor()})",
        "packages": ", ".join(installed),
    }


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if not described.exists():
        return platform.processor()
    names = (
        line.partition(":")[2].strip() for line in described.read_text().splitlines() if line.startswith("model name")
    )
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
