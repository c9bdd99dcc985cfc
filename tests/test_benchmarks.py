"""The table of `nox -s bench`, from made-up rows. Nothing here measures anything."""

from __future__ import annotations

import pytest

from benchmarks.report import inserted, report
from benchmarks.sdk.measure import Samples
from benchmarks.sdk.subjects import FLOOR, OFFICIAL, OURS, SUBJECTS, Failure
from benchmarks.sdk.table import Goal, Result, Row


def row(unit: str, goal: Goal | None, results: dict[str, Result]) -> Row:
    return Row("calls: CPU", "10 memos", unit, results, goal)


@pytest.mark.parametrize(
    ("unit", "goal", "ours", "floor", "verdict"),
    [
        ("ms", Goal(at_most=50), [0.050], None, "reached"),
        ("ms", Goal(at_most=50), [0.060], None, "missed by 20 %"),
        ("ms", Goal(at_most=50), [0.049, 0.060, 0.070], None, "missed by 20 %; best round: reached"),
        ("steps/s", Goal(at_least=1_000), [1_000.0], None, "reached"),
        ("steps/s", Goal(at_least=1_000), [950.0], None, "missed by 5.0 %"),
        ("steps/s", Goal(at_least=1_000), [900.0, 750.0, 1_001.0], None, "missed by 10 %; best round: reached"),
        ("µs", Goal(times_floor=1.5), [150e-6], [100e-6], "reached"),
        ("µs", Goal(times_floor=1.5), [300e-6], [100e-6], "missed by 100 %"),
        ("µs", Goal(times_floor=1.5), [300e-6], None, "?"),
        ("failed", Goal(at_most=0), [0.0], None, "reached"),
        ("failed", Goal(at_most=0), [3.0], None, "missed by 3.0"),
        ("ms", None, [0.060], None, ""),
    ],
)
def test_a_row_says_whether_its_goal_is_reached_and_by_how_much_not(
    unit: str, goal: Goal | None, ours: list[float], floor: list[float] | None, verdict: str
) -> None:
    results: dict[str, Result] = {OURS: Samples(ours)}
    if floor is not None:
        results[FLOOR] = Samples(floor)

    assert verdict == row(unit, goal, results).verdict()


def test_a_row_that_fails_misses_its_goal() -> None:
    failed = row("ms", Goal(at_most=50), {OURS: Failure("TypeError: a|b")})

    assert ("missed: it fails", "fails: TypeError: a/b") == (failed.verdict(), failed.cells([OURS])[2])


def test_the_table_has_a_line_for_each_row_with_medians_best_rounds_and_ratios() -> None:
    measured: dict[str, Result] = {
        OURS: Samples([0.003, 0.002, 0.004]),
        OFFICIAL: Samples([0.030]),
        FLOOR: Samples([0.002]),
    }
    alone: dict[str, Result] = {OURS: Samples([1_250.0])}
    rows = [
        row("ms", Goal(times_floor=1.5), measured),
        Row("executor", "20 runs", "runs/s", alone, Goal(at_least=2_500)),
    ]

    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in report(rows, SUBJECTS, {"date": "today"}).splitlines()
        if line.startswith("|")
    ]

    assert [
        ["", "unit", "ours", "official SDK", "bare floor", "ours / floor", "official / ours", "goal", "goal is"],
        ["**calls: CPU**", *[""] * 8],
        *(
            [
                [
                    "10 memos",
                    "ms",
                    "3.00 (2.00)",
                    "30.00",
                    "2.00",
                    "1.50 (1.00)",
                    "10.00 (15.00)",
                    "≤ 1.5 x floor",
                    "reached",
                ]
            ]
        ),
        ["**executor**", *[""] * 8],
        ["20 runs", "runs/s", "1,250", "-", "-", "", "", "≥ 2,500", "missed by 50 %"],
    ] == [line for line in lines if not set("".join(line)) <= {"-", ":"}]


def test_the_report_begins_with_what_it_was_taken_on() -> None:
    text = report([], SUBJECTS, {"date": "1 May 2026", "command": "`nox -s bench`"})

    assert text.startswith("* date: 1 May 2026\n* command: `nox -s bench`\n\nMedians")


def test_a_new_table_takes_the_place_of_the_old_one_and_of_nothing_else() -> None:
    old = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n"

    new = inserted(old, "new")

    assert "before\n<!-- bench:begin -->\n\nnew\n\n<!-- bench:end -->\nafter\n" == new
    assert inserted(old, "newer") == inserted(new, "newer")


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- bench:begin --> only",
        "<!-- bench:end --> before <!-- bench:begin -->",
        "<!-- bench:begin --><!-- bench:end --><!-- bench:begin --><!-- bench:end -->",
    ],
)
def test_a_readme_without_its_markers_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        inserted(text, "new")
