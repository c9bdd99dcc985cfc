"""Rows that need a fresh process for each subject: memory and import (design.md 9)."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sdk import calls
from benchmarks.sdk.measure import Samples, progress
from benchmarks.sdk.subjects import FLOOR, FRAMEWORK_TITLES, OFFICIAL, OURS, Failure, Framework
from benchmarks.sdk.table import Goal, Result, Row

FEWEST_IMPORTS = 10
CHILD = Path(__file__).resolve().parents[1] / "child.py"

# What is imported, and what the framework alone would import.
_IMPORTS = (
    ("the package", {OFFICIAL: "inngest", OURS: "stepserve"}),
    ("with Flask", {FLOOR: "flask", OFFICIAL: "inngest.flask", OURS: "stepserve.flask"}),
    ("with FastAPI", {FLOOR: "fastapi", OFFICIAL: "inngest.fast_api", OURS: "stepserve.fastapi"}),
)
_FIRST_CALLS: tuple[Framework, ...] = ("flask", "fastapi")


def memory_rows(subjects: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure the peak that three signed calls with a 4 MB event add, each subject in its own process."""
    body = calls.call_body("bench/field", calls.event_data(4 * calls.EVENT_MB, 0), {})
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(body)
        file.flush()
        for framework in ("flask", "fastapi"):
            progress(f"memory, {FRAMEWORK_TITLES[framework]}")
            values: dict[str, list[float]] = {name: [] for name in subjects}
            failures: dict[str, Result] = {}
            for _ in range(min(rounds, 3)):
                for name in subjects:
                    try:
                        values[name].append(float(_child("memory", name, framework, file.name)))
                    except subprocess.CalledProcessError as error:
                        failures[name] = Failure(error.stderr.strip().splitlines()[-1][:80])
            results = {name: failures.get(name) or Samples(taken) for name, taken in values.items()}
            what = f"{FRAMEWORK_TITLES[framework]}, three calls with a 4 MB event (body of {len(body) / 1e6:.3g} MB)"
            yield Row(
                "peak memory added over a warm process that holds the body", what, "MB", results, Goal(at_most=59.0)
            )


def import_rows(subjects: tuple[str, ...], rounds: int, fewest: int = FEWEST_IMPORTS) -> Iterator[Row]:
    """Measure the CPU of `import X` over the bare interpreter; beside the frameworks, over the framework alone.

    And that of a whole program until it has answered a call, so that what an import leaves for later counts too.
    """
    progress("import")
    modules = [module for _, of in _IMPORTS for name, module in of.items() if name in subjects]
    programs = {"": ["-c", "pass"], **{module: ["-c", f"import {module}"] for module in modules}}
    for framework in _FIRST_CALLS:
        programs |= {_first(name, framework): [str(CHILD), "first", name, framework] for name in subjects}
    taken = _cpu_of_processes(programs, max(rounds, fewest))

    def over(program: str, base: str) -> Result:
        """Return what the program costs more than the base; sorted, so that medians and bests are each subtracted."""
        costs, alone = taken[program], taken[base]
        if isinstance(costs, Failure):
            return costs
        if isinstance(alone, Failure):
            return alone
        return Samples([more - less for more, less in zip(sorted(costs), sorted(alone), strict=True)])

    bare = taken[""]
    assert isinstance(bare, list)
    group = f"CPU of import over `python -c pass` ({Samples(bare).median * 1e3:.0f} ms)"
    for title, of in _IMPORTS:
        measured = {name: over(module, "") for name, module in of.items() if name in subjects}
        yield Row(group, title, "ms", measured, Goal(at_most=50.0) if FLOOR not in of else None)
    if FLOOR in subjects:
        others = [name for name in subjects if name != FLOOR]
        for title, of in _IMPORTS[1:]:
            added = {name: over(of[name], of[FLOOR]) for name in others}
            yield Row("CPU of import added to the framework's own", title, "ms", added, Goal(at_most=50.0))
        for framework in _FIRST_CALLS:
            added = {name: over(_first(name, framework), _first(FLOOR, framework)) for name in others}
            yield Row(
                "CPU up to the answer of the first call, over the bare route's",
                FRAMEWORK_TITLES[framework],
                "ms",
                added,
            )


def _first(subject: str, framework: str) -> str:
    """Name the program that ends with its first answer."""
    return f"{subject} with {framework}"


def _child(*arguments: str) -> str:
    command = [sys.executable, str(CHILD), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _cpu_of_processes(programs: dict[str, list[str]], rounds: int) -> dict[str, list[float] | Failure]:
    """Run programs in turns; return the seconds of each, or why it failed."""
    taken: dict[str, list[float] | Failure] = {program: [] for program in programs}
    for number in range(rounds + 1):
        for program, arguments in programs.items():
            seconds, costs = _cpu_seconds(arguments), taken[program]
            if isinstance(seconds, Failure):
                taken[program] = seconds
            elif number > 0 and isinstance(costs, list):  # the first import may compile
                costs.append(seconds)
    return taken


def _cpu_seconds(arguments: list[str]) -> float | Failure:
    """Return user plus system CPU of one interpreter with these arguments, or why it failed."""
    # Compiled modules are kept, as in every installation; this variable would have sources compiled each time.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        return Failure(complaint.strip().splitlines()[-1][:80])
    return usage.ru_utime + usage.ru_stime
