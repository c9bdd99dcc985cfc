"""When the payment is due and when the demo is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepserve_core.cli.timeline import Run
from stepserve_core.demo.decisions import is_over, is_settlement_due
from stepserve_core.demo.expected import ExpectedRun, expected_runs
from tests.demo.samples import change_step, fulfil, fulfil_all

EXPECTED = expected_runs(["a", "b"])
RUNS = fulfil_all(EXPECTED)


def order(app_id: str) -> ExpectedRun:
    return next(run for run in EXPECTED if run.function == f"{app_id}-process-order")


def waiting(app_id: str) -> Run:
    return change_step(replace(fulfil(order(app_id)), status="Running"), "payment", status="Waiting")


def early(app_id: str) -> Run:
    return replace(fulfil(order(app_id)), status="Running", steps=())


def failed(app_id: str) -> Run:
    return replace(fulfil(order(app_id)), status="Failed", steps=())


@pytest.mark.parametrize(
    ("runs", "due"),
    [
        ([], False),
        ([waiting("a")], False),
        ([waiting("a"), early("b")], False),
        ([waiting("a"), waiting("b")], True),
        ([waiting("a"), failed("b")], True),
        ([early("a"), failed("b")], False),
        ([failed("a"), failed("b")], False),
        ([replace(waiting("a"), status="Cancelled"), waiting("b")], True),
    ],
)
def test_the_payment_is_settled_once_every_order_waits_for_it(runs: list[Run], due: bool) -> None:
    """An order that failed before does not hold up the others."""
    assert due == is_settlement_due(runs, ["a", "b"])


def test_it_is_over_when_all_runs_have_ended() -> None:
    """However they ended."""
    assert is_over(RUNS, EXPECTED)
    assert is_over([replace(run, status="Failed") for run in RUNS], EXPECTED)


@pytest.mark.parametrize("index", range(len(RUNS)))
def test_it_is_not_over_while_a_run_goes_on(index: int) -> None:
    """Whichever it is."""
    assert not is_over([*RUNS[:index], replace(RUNS[index], status="Running"), *RUNS[index + 1 :]], EXPECTED)


@pytest.mark.parametrize(
    ("function", "over"),
    [
        ("a-process-order", False),
        ("b-parallel-report", False),
        ("a-gather-quotes", False),
        ("b-refund", False),
        ("a-nightly-cleanup", False),
        ("a-make-invoice", True),
        ("b-refund-failure", True),
        ("a-order-completed", True),
    ],
)
def test_it_is_not_over_before_what_was_asked_for_is_there(function: str, over: bool) -> None:
    """Runs that other runs cause are there when those have ended, or never."""
    assert over == is_over([run for run in RUNS if run.function != function], EXPECTED)
