"""What people and machines are shown at the end."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from stepserve_core.cli.timeline import Run
from stepserve_core.demo.compare import compare
from stepserve_core.demo.expected import expected_runs
from stepserve_core.demo.report import Outcome, outcome_values, print_outcome
from tests.demo.samples import fulfil_all

EXPECTED = expected_runs(["flask-shop"])
RUNS = fulfil_all(EXPECTED)
FAILED = [replace(run, output="?") if run.function == "flask-shop-make-invoice" else run for run in RUNS]


def outcome(runs: list[Run]) -> Outcome:
    return Outcome(("flask",), tuple(compare(EXPECTED, runs)), 4.25)


def printed(shown: Outcome) -> list[str]:
    """Return the lines that are printed into a file."""
    output = io.StringIO()
    print_outcome(Console(file=output, width=160, highlight=False), shown)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_a_good_outcome_is_summed_up() -> None:
    """A mark per function and one line at the end."""
    lines = printed(outcome(RUNS))

    assert "✓ flask-shop-process-order: 1 run" in lines
    assert "✓ flask-shop-big-order: did not run" in lines
    assert "Every run ended as declared (8 runs in flask, 4.2 s)." == lines[-1]


def test_a_bad_outcome_says_which_run_and_why() -> None:
    """The other functions keep their marks."""
    lines = printed(outcome(FAILED))

    assert "✗ flask-shop-make-invoice: 1 run" in lines
    assert '    output "?", declared {"number": "INV-A-1001", "total": 120}' in lines
    assert "✓ flask-shop-process-order: 1 run" in lines
    assert "Not as declared: flask-shop-make-invoice (8 runs in flask, 4.2 s)." == lines[-1]


def test_machines_get_the_same() -> None:
    """As values that JSON can carry."""
    good, bad = outcome_values(outcome(RUNS)), outcome_values(outcome(FAILED))

    assert (True, []) == (good["ok"], good["not_as_declared"])
    assert False is bad["ok"]
    assert ['flask-shop-make-invoice: output "?", declared {"number": "INV-A-1001", "total": 120}'] == bad[
        "not_as_declared"
    ]
    assert bad == json.loads(json.dumps(bad))
    assert [("flask-shop-make-invoice", False)] == [
        (function["function"], function["ok"]) for function in bad["functions"] if function["problems"]
    ]
