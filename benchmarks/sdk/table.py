"""Rows of results, their goals, and how they are printed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.sdk.measure import Samples
from benchmarks.sdk.subjects import FLOOR, OFFICIAL, OURS, Failure

Result = Samples | Failure

_SCALE = {"µs": 1e6, "ms": 1e3, "s": 1.0, "MB": 1.0, "req/s": 1.0, "failed": 1.0}
_DECIMALS = {"µs": 0, "ms": 2, "s": 3, "MB": 1, "req/s": 0, "failed": 0}


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

    def excess(self, ours: float, floor: float | None) -> float | None:
        """Return how many times over the goal we are (1 or less: met), or None without a floor to compare with."""
        if self.at_least is not None:
            return self.at_least / ours if ours else float("inf")
        bound = self.at_most
        if self.times_floor is not None:
            bound = None if floor is None else self.times_floor * floor
        if bound is None:
            return None
        if bound == 0:
            return 0.0 if ours == 0 else float("inf")
        return ours / bound


@dataclass(frozen=True)
class Row:
    """One measured work, with a result for each subject; values are in seconds unless the unit says otherwise."""

    group: str
    what: str
    unit: str
    results: Mapping[str, Result]
    goal: Goal | None = None

    @property
    def more_is_better(self) -> bool:
        return self.unit == "req/s"

    def median(self, subject: str) -> float | None:
        """Return the subject's median in the unit of the row."""
        result = self.results.get(subject)
        return result.median * _SCALE[self.unit] if isinstance(result, Samples) else None

    def best(self, subject: str) -> float | None:
        """Return the subject's best round in the unit of the row."""
        result = self.results.get(subject)
        if not isinstance(result, Samples):
            return None
        return (max(result.values) if self.more_is_better else min(result.values)) * _SCALE[self.unit]

    def verdict(self) -> str:
        """Say whether our median keeps the goal; on a busy machine the best round may when the median does not."""
        if self.goal is None or OURS not in self.results:
            return ""
        excess = self._excess(self.median)
        if excess is None:
            return "MISSED" if isinstance(self.results[OURS], Failure) else "?"
        if excess <= 1:
            return "ok"
        best = self._excess(self.best)
        return f"MISSED by {excess:.2f}x" + (", best round ok" if best is not None and best <= 1 else "")

    def _excess(self, value: Callable[[str], float | None]) -> float | None:
        ours = value(OURS)
        return None if self.goal is None or ours is None else self.goal.excess(ours, value(FLOOR))

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
        scale = _SCALE[self.unit]
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
                    "median": result.median * scale,
                    "best": self.best(name),
                    "samples": [value * scale for value in result.values],
                }
                for name, result in self.results.items()
            },
        }

    def _cell(self, subject: str) -> str:
        result = self.results.get(subject)
        if result is None:
            return "-"
        if isinstance(result, Failure):
            return f"fails: {result.reason}"
        decimals = _DECIMALS[self.unit]
        median = f"{self.median(subject):,.{decimals}f}"
        return median if len(result.values) == 1 else f"{median} ({self.best(subject):,.{decimals}f})"

    def _ratio(self, above: str, below: str) -> str:
        """Return the ratio of medians and, in brackets, of best rounds."""
        medians, bests = (self.median(above), self.median(below)), (self.best(above), self.best(below))
        if medians[0] is None or not medians[1] or bests[0] is None or not bests[1]:
            return ""
        return f"{medians[0] / medians[1]:.2f} ({bests[0] / bests[1]:.2f})"


def render(rows: Iterable[Row], subjects: tuple[str, ...]) -> str:
    """Lay the rows out in columns: each subject's median (best), two ratios (of bests), the goal, the verdict."""
    header = ["", "unit", *subjects, "ours/floor", "official/ours", "goal", ""]
    lines: list[list[str]] = []
    titles: dict[int, str] = {}
    group = None
    for row in rows:
        if row.group != group:
            group = row.group
            titles[len(lines)] = group
        lines.append(row.cells(subjects))
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    text = [_line(header, widths)]
    for number, line in enumerate(lines):
        if number in titles:
            text += ["", titles[number]]
        text.append(_line(line, widths))
    return "\n".join(text)


def _line(cells: list[str], widths: list[int]) -> str:
    left = {0, 1, len(cells) - 1}
    padded = (
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
