"""What `nox -s bench` leaves behind: a table between two markers of benchmarks/README.md, and growth.png."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.sdk.subjects import FLOOR, OFFICIAL, OURS
from benchmarks.sdk.table import TITLES, Row, render

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_STYLES = {OURS: "o-", OFFICIAL: "s-", FLOOR: "^--"}


def report(rows: Iterable[Row], subjects: Iterable[str], origin: Mapping[str, str]) -> str:
    """Return the table with what it was taken on: `origin` has the date, the command, the machine and its noise."""
    of = "\n".join(f"* {name}: {value}" for name, value in origin.items())
    return f"{of}\n\nMedians, and in brackets the best rounds.\n\n{render(rows, subjects)}"


def inserted(text: str, content: str) -> str:
    """Put content between the markers, in place of what was there.

    Raises:
        ValueError: the text has not each marker once, in this order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"expected {BEGIN} and {END} once each, in this order")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def write(rows: list[Row], text: str) -> None:
    """Write the table into the README, and the picture beside it."""
    readme = FOLDER / "README.md"
    draw(rows, FOLDER / "growth.png")
    picture = "![CPU per call over the number of memos, on logarithmic axes](growth.png)"
    readme.write_text(inserted(readme.read_text(), f"{text}\n\n{picture}"))


def draw(rows: Iterable[Row], path: Path) -> None:
    """Draw each group of rows that differ in size alone: a curve for each subject, on logarithmic axes."""
    from matplotlib.figure import Figure

    sized = [row for row in rows if row.size]  # a size of 0 has no place on a logarithmic axis
    groups = [(name, list(of)) for name, of in itertools.groupby(sized, lambda row: row.group)]
    columns = min(2, len(groups))
    figure = Figure(figsize=(6.4 * columns, 4.2 * -(-len(groups) // columns)), layout="constrained")
    all_axes = figure.subplots(-(-len(groups) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, of_group) in zip(all_axes.flat, groups, strict=False):
        for subject, style in _STYLES.items():
            points = [(row.size, median) for row in of_group if (median := row.median(subject)) is not None]
            if points:
                sizes, medians = zip(*points, strict=True)
                axes.loglog(sizes, medians, style, label=TITLES[subject])
        what, _, measure = name.rpartition(": ")
        axes.set(title=what, xlabel="memos", ylabel=f"{measure}, {of_group[0].unit}")
        axes.title.set_fontsize("medium")
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
