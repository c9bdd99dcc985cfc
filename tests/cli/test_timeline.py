"""Reading the executor's traces, and showing them."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from stepserve_core.cli.timeline import Attempt, Run, Step, read_run
from stepserve_core.cli.timeline_view import duration_text, print_timeline, run_values

T = "2026-01-02T03:04:0"


def entry(name: str, op: str, *attempts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    times = {"queued_at": f"{T}0.000Z", "started_at": f"{T}2.000Z", "ended_at": f"{T}3.500Z", "duration_ms": 1500.0}
    return {"id": "hash", "name": name, "op": op, "status": "Completed", "attempts": list(attempts), **times, **fields}


def attempt(number: int, status: str, second: int, **fields: Any) -> dict[str, Any]:
    times = {"queued_at": f"{T}0.000Z", "started_at": f"{T}{second}.000Z", "ended_at": f"{T}{second}.004Z"}
    return {"attempt": number, "status": status, "duration_ms": 4.0, **times, **fields}


ERROR = {"name": "ConnectionError", "message": "the packer is asleep"}
TRACE: dict[str, Any] = {
    "run": {
        "run_id": "01RUN",
        "status": "Completed",
        "run_started_at": f"{T}1.000Z",
        "ended_at": f"{T}9.250Z",
        "output": {"paid": True},
    },
    "function": "shop-order",
    "steps": [
        entry("pack", "StepError", attempt(0, "Failed", 1, error=ERROR), attempt(1, "Completed", 2), output="packed"),
        entry("rest", "Sleep", output=None),
        entry("payment", "WaitForEvent", status="Waiting", ended_at=None, duration_ms=None),
        entry("Finalization", "Finalization", attempt(0, "Completed", 9)),
    ],
}
BASE = 1767323040.0
RUN = Run(
    id="01RUN",
    function="shop-order",
    event="shop/order.created",
    status="Completed",
    started_at=BASE + 1,
    ended_at=BASE + 9.25,
    output={"paid": True},
    steps=(
        Step(
            "pack",
            "step.run",
            "Completed",
            (Attempt(1, "Failed", 4.0, ERROR), Attempt(2, "Completed", 4.0)),
            BASE + 1,
            BASE + 3.5,
            "packed",
        ),
        Step("rest", "step.sleep", "Completed", (), BASE + 2, BASE + 3.5),
        Step("payment", "step.wait_for_event", "Waiting", (), BASE + 2, None),
    ),
    attempts=(Attempt(1, "Completed", 4.0),),
)


def test_a_trace_is_read() -> None:
    """Attempts count from one, a step begins with its first attempt, the function's own attempts stand apart."""
    assert RUN == read_run(TRACE, "shop/order.created")


def test_durations_are_those_of_the_whole_step() -> None:
    """Waits between attempts are part of them; what goes on has none."""
    assert [2500.0, 1500.0, None] == [step.duration_ms for step in RUN.steps]
    assert 8250.0 == RUN.duration_ms


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("StepRun", "step.run"),
        ("StepPlanned", "step.run"),
        ("Step", "step.run"),
        ("Sleep", "step.sleep"),
        ("WaitForEvent", "step.wait_for_event"),
        ("InvokeFunction", "step.invoke"),
        ("AIGateway", "step.ai"),
    ],
)
def test_opcodes_are_shown_by_the_names_that_users_write(op: str, kind: str) -> None:
    """Whatever the opcode was under which a step was first seen."""
    read = read_run({**TRACE, "steps": [entry("a", op)]}, "event")

    assert [kind] == [step.kind for step in read.steps]


@pytest.mark.parametrize(
    ("status", "ended"),
    [("Scheduled", False), ("Running", False), ("Completed", True), ("Failed", True), ("Cancelled", True)],
)
def test_statuses_that_end_a_run(status: str, ended: bool) -> None:
    """executor.md 4.1."""
    assert ended == read_run({**TRACE, "run": {**TRACE["run"], "status": status}}, "event").has_ended


def printed(run: Run, width: int) -> list[str]:
    output = io.StringIO()
    print_timeline(Console(file=output, width=width, highlight=False), run)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_a_timeline_has_a_line_per_attempt() -> None:
    """With kind, attempt, duration and result."""
    assert [
        "shop-order  Completed  8.25 s  run 01RUN  started by shop/order.created",
        "  step     kind                 attempt  duration  result",
        "  pack     step.run                   1      4 ms  ConnectionError: the packer is asleep",
        '                                      2      4 ms  "packed"',
        "  rest     step.sleep                      1.50 s",
        "  payment  step.wait_for_event                  …  Waiting",
        '  (end)                               1      4 ms  {"paid": true}',
        "",
    ] == printed(RUN, 120)


def test_a_narrow_window_cuts_results_only() -> None:
    """What a step is called stays readable."""
    lines = printed(RUN, 60)

    assert re.fullmatch(r"  pack     step\.run                   1      4 ms  Conn\w*…", lines[2])
    assert "  payment  step.wait_for_event                  …  Waiting" in lines


def test_a_failed_run_shows_its_error_and_its_attempts() -> None:
    """A function that was tried again outside its steps has a line for each attempt."""
    error = {"name": "ValueError", "message": "no"}
    attempts = (Attempt(1, "Failed", 1.0, error), Attempt(2, "Failed", 20_000.0, error))
    run = Run("01RUN", "shop-refund", "shop/refund", "Failed", 0.0, 30.0, error, (), attempts)

    assert [
        "shop-refund  Failed  30.0 s  run 01RUN  started by shop/refund",
        "  step        kind  attempt  duration  result",
        "  (function)              1      1 ms  ValueError: no",
        "  (end)                   2    20.0 s  ValueError: no",
        "",
    ] == printed(run, 120)


def test_machines_get_everything() -> None:
    """Under the names that the table uses."""
    values = run_values(RUN)

    assert ("01RUN", "shop-order", 8250.0) == (values["run_id"], values["function"], values["duration_ms"])
    assert {
        "name": "pack",
        "kind": "step.run",
        "status": "Completed",
        "started_at": BASE + 1,
        "ended_at": BASE + 3.5,
        "duration_ms": 2500.0,
        "output": "packed",
        "error": None,
        "until": None,
        "waits_for": None,
        "attempts": [
            {"attempt": 1, "status": "Failed", "duration_ms": 4.0, "error": ERROR},
            {"attempt": 2, "status": "Completed", "duration_ms": 4.0, "error": None},
        ],
    } == values["steps"][0]


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (None, "…"),
        (0.4, "0 ms"),
        (999.4, "999 ms"),
        (1500, "1.50 s"),
        (12_340, "12.3 s"),
        (60_000, "1 min"),
        (88_500, "1 min 28 s"),
        (3_600_000, "1 h"),
        (7_530_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_durations_are_in_units_that_are_easy_to_read(milliseconds: float | None, expected: str) -> None:
    assert expected == duration_text(milliseconds)


CALL = {"step": None, "attempt": 1, "due_at": f"{T}7.000Z", "state": "waiting"}


@pytest.mark.parametrize(
    ("step", "calls", "expected"),
    [
        (
            entry(
                "pay", "WaitForEvent", status="Waiting", ended_at=None, detail={"event": "x/paid", "expires_at": 5.0}
            ),
            [],
            ("Waiting for x/paid, 0 ms left", 5.0),
        ),
        (
            entry("rest", "Sleep", status="Sleeping", ended_at=None, detail={"until": 5.0}),
            [],
            ("Sleeping, 0 ms left", 5.0),
        ),
        (
            entry("pack", "StepError", attempt(0, "Failed", 1, error=ERROR), status="Queued", ended_at=None),
            [CALL],
            ("Retries in 0 ms", BASE + 7),
        ),
        (
            entry("pack", "StepError", attempt(0, "Failed", 1, error=ERROR), status="Queued", ended_at=None),
            [{**CALL, "state": "called"}],
            ("Queued", None),
        ),
    ],
    ids=["wait", "sleep", "retry", "attempt under way"],
)
def test_a_step_that_has_not_ended_says_what_it_waits_for_and_how_long(
    step: dict[str, Any], calls: list[dict[str, Any]], expected: tuple[str, float | None]
) -> None:
    run = read_run({**TRACE, "steps": [step], "calls": calls}, "event")

    assert expected[1] == run.steps[0].until
    assert any(line.endswith(expected[0]) for line in printed(run, 120))
