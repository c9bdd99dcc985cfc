"""What the demo came to: timelines and verdicts for people, or all of it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from stepserve_core.cli.timeline_view import print_timeline, run_values
from stepserve_core.demo.compare import Verdict


@dataclass(frozen=True)
class Outcome:
    """What a demo came to. `seconds` counts from the first process started to the last run collected."""

    frameworks: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def is_as_declared(self) -> bool:
        """Whether every run ended exactly as declared and no other ran."""
        return not any(verdict.problems for verdict in self.verdicts)


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print a timeline per run and what each declaration came to."""
    console.print()
    runs = sorted((run for verdict in outcome.verdicts for run in verdict.runs), key=lambda run: (run.function, run.id))
    for run in runs:
        print_timeline(console, run)
    for verdict in outcome.verdicts:
        mark = ("✗", "bold red") if verdict.problems else ("✓", "green")
        count = len(verdict.runs)
        how_often = "did not run" if count == 0 else f"{count} run{'s' if count > 1 else ''}"
        console.print(Text.assemble(mark, f" {verdict.function}: {how_often}"), soft_wrap=True)
        for problem in verdict.problems:
            console.print(Text(f"    {problem}", style="red"), soft_wrap=True)
    console.print()
    console.print(Text(_summary(outcome), style="bold green" if outcome.is_as_declared else "bold red"), soft_wrap=True)


def _summary(outcome: Outcome) -> str:
    count = sum(len(verdict.runs) for verdict in outcome.verdicts)
    where = f"{count} runs in {' and '.join(outcome.frameworks)}, {outcome.seconds:.1f} s"
    if outcome.is_as_declared:
        return f"Every run ended as declared ({where})."
    wrong = [verdict.function for verdict in outcome.verdicts if verdict.problems]
    return f"Not as declared: {', '.join(wrong)} ({where})."


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as JSON-ready values."""
    return {
        "ok": outcome.is_as_declared,
        "frameworks": list(outcome.frameworks),
        "seconds": round(outcome.seconds, 3),
        "functions": [_verdict_values(verdict) for verdict in outcome.verdicts],
        "not_as_declared": _problems(outcome.verdicts),
    }


def _verdict_values(verdict: Verdict) -> dict[str, Any]:
    return {
        "function": verdict.function,
        "ok": not verdict.problems,
        "problems": list(verdict.problems),
        "runs": [run_values(run) for run in verdict.runs],
    }


def _problems(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{verdict.function}: {problem}" for verdict in verdicts for problem in verdict.problems]
