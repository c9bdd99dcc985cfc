"""Rows of results, their goals, and how they are printed."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.sdk.measure import Samples
from benchmarks.sdk.subjects import FLOOR, OFFICIAL, OURS, Failure

Result = Samples | Failure
REACHED = "reached"

_SCALE = {"µs": 1e6, "ms": 1e3}
_DECIMALS = {"ms": 2, "s": 3, "MB": 1}
TITLES = {OURS: "ours", OFFICIAL: "official SDK", FLOOR: "bare floor"}


@dataclass(frozen=True)
class Goal:
    """A number of design.md section 9 that our median must keep; exactly one bound is set, in the unit of the row."""

    times_floor: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        if self.times_floor is not None:
            return f"≤ {self.times_floor:g} x floor"
        return f"≤ {self.at_most:,g}" if self.at_most is not None else f"≥ {self.at_least:,g}"

    def bound(self, floor: float | None) -> float | None:
        """Return the number to keep, or None without a floor to compare with."""
        if self.times_floor is not None:
            return None if floor is None else self.times_floor * floor
        return self.at_least if self.at_most is None else self.at_most

    def verdict(self, ours: float, floor: float | None) -> str:
        """Say whether our number keeps the goal, and if not, by which part of the goal it misses it."""
        bound = self.bound(floor)
        if bound is None:
            return "?"
        missing = bound - ours if self.at_least is not None else ours - bound
        if missing <= 0:
            return REACHED
        return f"missed by {_short(missing / bound * 100)} %" if bound else f"missed by {_short(missing)}"


@dataclass(frozen=True)
class Row:
    """One measured work, with a result for each subject; values are in seconds unless the unit says otherwise.

    `size` is how much the work has to do, where rows of the group differ in that alone: the x of a growth curve.
    """

    group: str
    what: str
    unit: str
    results: Mapping[str, Result]
    goal: Goal | None = None
    size: int | None = None

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def median(self, subject: str) -> float | None:
        """Return the subject's median in the unit of the row."""
        result = self.results.get(subject)
        return result.median * self._scale if isinstance(result, Samples) else None

    def best(self, subject: str) -> float | None:
        """Return the subject's best round in the unit of the row."""
        result = self.results.get(subject)
        if not isinstance(result, Samples):
            return None
        return (max(result.values) if self.more_is_better else min(result.values)) * self._scale

    def verdict(self) -> str:
        """Say whether our median keeps the goal; on a busy machine the best round may when the median does not."""
        if self.goal is None or OURS not in self.results:
            return ""
        median, best = self.median(OURS), self.best(OURS)
        if median is None or best is None:
            return "missed: it fails"
        verdict = self.goal.verdict(median, self.median(FLOOR))
        missed_by_noise = verdict.startswith("missed") and self.goal.verdict(best, self.best(FLOOR)) == REACHED
        return f"{verdict}; best round: {REACHED}" if missed_by_noise else verdict

    def cells(self, subjects: Iterable[str]) -> list[str]:
        """Return the row's columns as text."""
        return [
            self.what,
            self.unit,
            *(self._cell(name) for name in subjects),
            self._ratio(OURS, FLOOR),
            self._ratio(*((OURS, OFFICIAL) if self.more_is_better else (OFFICIAL, OURS))),
            str(self.goal) if self.goal else "",
            self.verdict(),
        ]

    def as_json(self) -> dict[str, object]:
        """Return the row for `--json`: every sample, in the unit of the row."""
        return {
            "group": self.group,
            "what": self.what,
            "unit": self.unit,
            "goal": str(self.goal) if self.goal else None,
            "verdict": self.verdict() or None,
            "results": {
                name: {"fails": result.reason}
                if isinstance(result, Failure)
                else {
                    "median": result.median * self._scale,
                    "best": self.best(name),
                    "samples": [value * self._scale for value in result.values],
                }
                for name, result in self.results.items()
            },
        }

    @property
    def _scale(self) -> float:
        return _SCALE.get(self.unit, 1.0)

    def _cell(self, subject: str) -> str:
        result = self.results.get(subject)
        if result is None:
            return "-"
        if isinstance(result, Failure):
            return f"fails: {result.reason.replace('|', '/')}"
        decimals = _DECIMALS.get(self.unit, 0)
        median = f"{self.median(subject):,.{decimals}f}"
        return median if len(result.values) == 1 else f"{median} ({self.best(subject):,.{decimals}f})"

    def _ratio(self, above: str, below: str) -> str:
        """Return the ratio of medians and, in brackets, of best rounds."""
        medians, bests = (self.median(above), self.median(below)), (self.best(above), self.best(below))
        if medians[0] is None or not medians[1] or bests[0] is None or not bests[1]:
            return ""
        return f"{medians[0] / medians[1]:.2f} ({bests[0] / bests[1]:.2f})"


def render(rows: Iterable[Row], subjects: Iterable[str]) -> str:
    """Lay the rows out as a Markdown table that reads well as it is.

    Columns: each subject's median (best round), two ratios of medians (of best rounds), the goal, and whether it is
    reached. A group's title is a row of its own.
    """
    shown = [name for name in TITLES if name in subjects]
    header = ["", "unit", *(TITLES[name] for name in shown), "ours / floor", "official / ours", "goal", "goal is"]
    lines: list[list[str]] = []
    for group, of_group in itertools.groupby(rows, lambda row: row.group):
        lines.append([f"**{group}**", *[""] * (len(header) - 1)])
        lines += [row.cells(shown) for row in of_group]
    # A group's title may be wider than its column: padding all cells to it would leave no room for numbers.
    body = [line for line in lines if any(line[1:])]
    widths = [max(len(line[column]) for line in [header, *body]) for column in range(len(header))]
    left = {0, 1, len(header) - 1}
    rule = ["-" * width if column in left else f"{'-' * (width - 1)}:" for column, width in enumerate(widths)]
    return "\n".join([_line(header, widths, left), _line(rule, widths, left), *(_line(x, widths, left) for x in lines)])


def _line(cells: list[str], widths: list[int], left: set[int]) -> str:
    if not any(cells[1:]):
        return f"| {cells[0]} {'| ' * (len(cells) - 1)}|"
    padded = (
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"


def _short(number: float) -> str:
    return f"{number:,.1f}" if number < 10 else f"{number:,.0f}"
