"""Every way in which a run can differ from its declaration is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stepserve_core.cli.timeline import Attempt, Run, Step
from stepserve_core.demo.compare import compare, run_problems
from stepserve_core.demo.expected import ExpectedRun, ExpectedStep, expected_runs, run_step
from stepserve_core.demo.values import Having
from tests.demo.samples import change_step, fulfil, fulfil_all

DECLARED = ExpectedRun(
    "shop-order",
    "shop/order.created",
    output={"paid": True},
    stages=(
        (run_step("pack", "packed", "the packer is asleep"),),
        (run_step("left", 1), run_step("right", 2)),
        (ExpectedStep("payment", "step.wait_for_event", Having({"name": "paid"}), tried=False),),
    ),
)
FAILED = ExpectedRun("shop-refund", "shop/refund", status="Failed", output=Having({"message": "no"}))

Change = Callable[[Run], Run]


def step(name: str, **changes: Any) -> Change:
    return lambda run: change_step(run, name, **changes)


def of_run(**changes: Any) -> Change:
    return lambda run: replace(run, **changes)


def without(name: str) -> Change:
    return lambda run: replace(run, steps=tuple(s for s in run.steps if s.name != name))


def added(extra: Step) -> Change:
    return lambda run: replace(run, steps=(*run.steps, extra))


FAILURE = {"message": "the packer is asleep"}
GOOD, BAD = Attempt(2, "Completed", 1.0), Attempt(1, "Failed", 1.0, FAILURE)


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (of_run(), []),
        (of_run(event="other"), ["started by other, declared shop/order.created"]),
        (of_run(status="Failed"), ["status Failed, declared Completed"]),
        (of_run(status="Cancelled"), ["status Cancelled, declared Completed"]),
        (of_run(status="Running", output=None), ["status Running, declared Completed: it did not end in time"]),
        (of_run(output={"paid": False}), ['output {"paid": false}, declared {"paid": true}']),
        (of_run(attempts=(BAD, GOOD)), ["the function was tried twice outside its steps, declared once"]),
        (of_run(attempts=()), ["the function was tried not at all outside its steps, declared once"]),
        (without("left"), ["step left is missing"]),
        (added(Step("extra", "step.run", "Completed")), ["step extra was executed, but is not declared"]),
        (added(Step("left", "step.run", "Completed")), ["step left was executed twice, declared once"]),
        (step("left", kind="step.sleep"), ["step left: is a step.sleep, declared step.run"]),
        (step("left", status="Failed", error="no"), ['step left: status Failed ("no"), declared Completed']),
        (step("payment", status="Waiting"), ["step payment: status Waiting, declared Completed"]),
        (step("payment", status="TimedOut"), ["step payment: status TimedOut, declared Completed"]),
        (step("left", output=2), ["step left: result 2, declared 1"]),
        (step("payment", output=None), ['step payment: result null, declared {"name": "paid", "…": "…"}']),
        (step("pack", attempts=(GOOD,)), ["step pack: tried once, declared twice"]),
        (step("pack", attempts=(BAD, BAD, GOOD)), ["step pack: tried 3 times, declared twice"]),
        (step("left", attempts=()), ["step left: tried not at all, declared once"]),
        (
            step("pack", attempts=(Attempt(1, "Failed", 1.0, {"message": "fire"}), GOOD)),
            ['step pack: attempt 1 Failed ("fire"), declared Failed ("the packer is asleep")'],
        ),
        (
            step("pack", attempts=(Attempt(1, "Completed", 1.0, FAILURE), GOOD)),
            ['step pack: attempt 1 Completed ("the packer is asleep"), declared Failed ("the packer is asleep")'],
        ),
        (step("pack", attempts=(BAD, BAD)), ["step pack: attempt 1 Failed, declared Completed"]),
        (step("left", started_at=1.2), ["step left began before step pack had ended"]),
        (
            step("payment", started_at=2.2),
            ["step payment began before step left had ended", "step payment began before step right had ended"],
        ),
        (step("right", started_at=2.1), []),
    ],
)
def test_a_difference_is_reported(change: Change, problems: list[str]) -> None:
    """One sentence each, and nothing else."""
    assert problems == run_problems(DECLARED, change(fulfil(DECLARED)))


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (of_run(), []),
        (of_run(status="Completed"), ["status Completed, declared Failed"]),
        (of_run(output={"message": "yes"}), ['output {"message": "yes"}, declared {"message": "no", "…": "…"}']),
    ],
)
def test_a_run_must_fail_as_declared(change: Change, problems: list[str]) -> None:
    """Failing for another reason is a difference too."""
    assert problems == run_problems(FAILED, change(fulfil(FAILED)))


@pytest.mark.parametrize(
    ("times", "or_more", "count", "problems"),
    [
        (1, False, 1, ()),
        (1, False, 0, ("it ran not at all, declared once",)),
        (1, False, 2, ("it ran twice, declared once",)),
        (2, False, 1, ("it ran once, declared twice",)),
        (1, True, 3, ()),
        (1, True, 0, ("it ran not at all, declared at least once",)),
        (0, False, 0, ()),
        (0, False, 1, ("it must not run, but did once",)),
    ],
)
def test_runs_are_counted(times: int, or_more: bool, count: int, problems: tuple[str, ...]) -> None:
    """A run too many is as wrong as one that is missing."""
    declared = replace(DECLARED, times=times, or_more=or_more)
    (verdict,) = compare([declared], [fulfil(DECLARED, str(i)) for i in range(count)])

    assert (declared.function, count, problems) == (verdict.function, len(verdict.runs), verdict.problems)


def test_a_function_that_nobody_declared_is_reported() -> None:
    """With its runs, after the declared ones."""
    stranger = replace(fulfil(DECLARED), function="shop-stranger")
    verdicts = compare([DECLARED], [stranger, fulfil(DECLARED)])

    assert [("shop-order", ()), ("shop-stranger", ("it ran although nothing declares it",))] == [
        (verdict.function, verdict.problems) for verdict in verdicts
    ]
    assert (stranger,) == verdicts[1].runs


@pytest.mark.parametrize("apps", [("flask-shop",), ("flask-shop", "fastapi-shop")])
def test_the_declaration_of_the_demo_can_be_fulfilled(apps: tuple[str, ...]) -> None:
    """It does not contradict itself."""
    expected = expected_runs(apps)

    assert [] == [verdict.problems for verdict in compare(expected, fulfil_all(expected)) if verdict.problems]


def test_every_line_of_the_declaration_counts() -> None:
    """Changing the status or the output of a declared run makes a difference; so does leaving out a stage."""
    expected = expected_runs(["shop"])
    runs = fulfil_all(expected)
    for index, declared in enumerate(expected):
        if declared.times == 0:
            continue
        stages = declared.stages
        changes = [replace(declared, status="Cancelled"), replace(declared, output={"another": 1})]
        changes += [replace(declared, stages=stages[:i] + stages[i + 1 :]) for i in range(len(stages))]
        for changed in changes:
            verdicts = compare([*expected[:index], changed, *expected[index + 1 :]], runs)

            assert [declared.function] == [verdict.function for verdict in verdicts if verdict.problems]
