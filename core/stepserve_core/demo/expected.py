"""How every run of the demo must end. No I/O: change a line here and `stepserve demo` exits 1.

The functions are those of examples/flask/app.py and examples/fastapi/app.py; both apps declare the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepserve_core.cli.timeline import INVOKE, RUN, SLEEP, WAIT
from stepserve_core.demo.values import Having, ListOf

ORDER = {"order_id": "A-1001", "total": 120}

ORDER_CREATED = "shop/order.created"
ORDER_COMPLETED = "shop/order.completed"
PAYMENT_SETTLED = "shop/payment.settled"
REPORT_REQUESTED = "shop/report.requested"
QUOTES_REQUESTED = "shop/quotes.requested"
REFUND_REQUESTED = "shop/refund.requested"
INVOKED = "inngest/function.invoked"
FAILED = "inngest/function.failed"
TIMER = "inngest/scheduled.timer"

WAITING_FUNCTION, WAITING_STEP = "process-order", "payment"
CRON_FUNCTION = "nightly-cleanup"


@dataclass(frozen=True)
class ExpectedStep:
    """A step that must have been completed.

    `failures` are the messages of the attempts that fail before the last one. `tried` is False for what the server
    does by itself: sleeps, waits and invocations have no attempts.
    """

    name: str
    kind: str
    output: Any = None
    failures: tuple[str, ...] = ()
    tried: bool = True


@dataclass(frozen=True)
class ExpectedRun:
    """A run that must exist `times` times, or with `or_more` at least so often; 0 means that it must not exist.

    `stages` are the steps in order: those of one stage may overlap, the next stage begins after all of them.
    Outside its steps a function is never tried twice.
    """

    function: str
    event: str
    status: str = "Completed"
    output: Any = None
    stages: tuple[tuple[ExpectedStep, ...], ...] = ()
    times: int = 1
    or_more: bool = False


def run_step(name: str, output: Any, *failures: str) -> ExpectedStep:
    """Declare a `step.run`, after the attempts that fail with these messages."""
    return ExpectedStep(name, RUN, output, failures)


_PROCESS_ORDER = ExpectedRun(
    WAITING_FUNCTION,
    ORDER_CREATED,
    output={"charge": "charged 120", "shipment": "shipped A-1001", "paid": True, "invoice": "INV-A-1001"},
    stages=(
        (run_step("reserve-stock", "reserved for A-1001"),),
        (run_step("charge-card", "charged 120", "the payment provider did not answer"),),
        (run_step("ship", "shipped A-1001"),),
        (ExpectedStep("cooling-off", SLEEP, tried=False),),
        (
            ExpectedStep(
                WAITING_STEP,
                WAIT,
                Having({"name": PAYMENT_SETTLED, "data": {"order_id": "A-1001"}}),
                tried=False,
            ),
        ),
        (ExpectedStep("invoice", INVOKE, {"number": "INV-A-1001", "total": 120}, tried=False),),
        (run_step("announce", ListOf(1)),),
    ),
)

_RUNS = (
    _PROCESS_ORDER,
    ExpectedRun("big-order", ORDER_CREATED, times=0),
    ExpectedRun(
        "make-invoice",
        INVOKED,
        output={"number": "INV-A-1001", "total": 120},
        stages=((run_step("number-invoice", "INV-A-1001"),),),
    ),
    ExpectedRun(
        "order-completed",
        ORDER_COMPLETED,
        output="thanked the customer of A-1001",
        stages=((run_step("thank-customer", "thanked the customer of A-1001"),),),
    ),
    ExpectedRun(
        "parallel-report",
        REPORT_REQUESTED,
        output={"counts": [42, 3, 1200, 77, 9], "total": 1331},
        stages=(
            (
                run_step("count-orders", 42),
                run_step("count-refunds", 3),
                run_step("count-visits", 1200),
                run_step("count-carts", 77),
                run_step("count-reviews", 9),
            ),
        ),
    ),
    ExpectedRun(
        "gather-quotes",
        QUOTES_REQUESTED,
        output={"quotes": [31, 29, 35], "best": 29},
        stages=((run_step("ask-acme", 31), run_step("ask-globex", 29), run_step("ask-initech", 35)),),
    ),
    ExpectedRun(
        "refund",
        REFUND_REQUESTED,
        status="Failed",
        output=Having({"name": "ValueError", "message": "the bank refused the refund"}),
    ),
    ExpectedRun(
        "refund-failure",
        FAILED,
        output="opened a ticket: the bank refused the refund",
        stages=((run_step("open-ticket", "opened a ticket: the bank refused the refund"),),),
    ),
    # More than once where a minute ends while the demo runs: then the schedule fires by itself too.
    ExpectedRun(
        CRON_FUNCTION,
        TIMER,
        output="deleted 12 carts",
        stages=((run_step("delete-old-carts", "deleted 12 carts"),),),
        or_more=True,
    ),
)

EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    (ORDER_CREATED, ORDER),
    (REPORT_REQUESTED, {}),
    (QUOTES_REQUESTED, {}),
    (REFUND_REQUESTED, {"order_id": "A-1001"}),
)
"""What is sent first: name and data. Every app gets each of them."""

SETTLEMENT: tuple[str, dict[str, Any]] = (PAYMENT_SETTLED, {"order_id": "A-1001"})
"""What is sent once every `process-order` waits for it."""

STARTING_EVENTS = tuple(dict.fromkeys(run.event for run in _RUNS))
"""The names of all events that start runs; each stands after those whose runs send it."""


def expected_runs(apps: Sequence[str]) -> list[ExpectedRun]:
    """Return the declaration for these apps, by slug. Every app hears the order.completed of every app."""
    return [
        replace(run, function=f"{app}-{run.function}", times=len(apps) if run.event == ORDER_COMPLETED else run.times)
        for app in apps
        for run in _RUNS
    ]
