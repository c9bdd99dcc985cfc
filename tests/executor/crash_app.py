"""The app of the crash test: functions of every kind, and what their runs must end with; `crash_witness` runs them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tests.executor.raw_app import (
    Call,
    Fn,
    RaisedError,
    Step,
    StepFailedError,
    invoke,
    run,
    sleep,
    wait,
)

Steps = Generator[Any, Any, Any]


def pipeline(call: Call) -> Steps:
    number = call.event["data"]["n"]
    first = yield run("first", number)
    yield sleep("nap", "20ms")
    parts = yield [run(f"part-{name}", name) for name in "abc"]
    child = yield invoke("child", "app-child", {"n": first})
    return [first, "".join(parts), child]


def child(call: Call) -> Steps:
    return (yield run("double", call.event["data"]["n"] * 2))


def waiter(call: Call) -> Steps:
    event = yield wait("go", "test/go", "1h", "async.data.n == event.data.n")
    return event["data"]["n"]


def impatient(call: Call) -> Steps:
    number = call.event["data"]["n"]
    never, answer = yield [wait("never", "test/never", "50ms"), run("beside", number)]
    try:
        # A number of its own, because the event that stops a number may come before the time is over.
        yield invoke("slow", "app-stuck", {"n": -1000 - number}, "50ms")
    except StepFailedError as error:
        return [never, answer, error.error["name"]]


def stuck(_: Call) -> Steps:
    yield wait("never", "test/never", "1h")


def flaky(call: Call) -> Steps:
    def fail_at_first() -> int:
        if call.attempt == 0:
            raise RaisedError("not yet")
        number: int = call.event["data"]["n"]
        return number

    def fail() -> None:
        raise RaisedError("never", no_retry=True)

    number = yield run("flaky", fail_at_first)
    try:
        yield run("bad", fail)
    except StepFailedError as error:
        return [number, str(error)]


def signalled(call: Call) -> Steps:
    name = f"s-{call.event['data']['n']}"
    answer = yield Step("WaitForSignal", "signal", name=name, opts={"signal": name, "timeout": "1h"})
    return answer["data"]


def number_of(call: Call) -> Steps:
    return (yield run("number", call.event["data"]["n"]))


def numbers_of(call: Call) -> Steps:
    return (yield run("numbers", [event["data"]["n"] for event in call.body["events"]]))


def ticked(call: Call) -> Steps:
    return (yield run("instant", call.event["id"]))


def deferring(call: Call) -> Steps:
    number = call.event["data"]["n"]
    first = yield run("first", number)
    return first + (yield run("second", number))


def elsewhere(_: Call) -> Steps:
    """Stand for a function whose answers the witness makes itself."""
    raise AssertionError
    yield


LIMITS = {
    "throttle": {"limit": 20, "period": "1s", "burst": 5},
    "concurrency": {"fn": [{"limit": 8}], "step": [{"limit": 3}]},
    "singleton": {"mode": "skip", "key": "event.data.n"},
    "timeouts": {"start": "10m", "finish": "10m"},
    "priority": {"run": "int(event.data.n)"},
}
SAVED = 5
"""Steps that `saving` saves while its call is under way."""
DEFERRED = "inngest/deferred.schedule"
STOP = [{"event": "test/stop", "if": "async.data.n == event.data.n"}]
FUNCTIONS = [
    Fn("pipeline", pipeline, [{"event": "test/x"}]),
    Fn("child", child),
    Fn("waiter", waiter, [{"event": "test/w"}]),
    Fn("impatient", impatient, [{"event": "test/i"}]),
    Fn("flaky", flaky, [{"event": "test/f"}]),
    Fn("signalled", signalled, [{"event": "test/s"}]),
    Fn("stuck", stuck, [{"event": "test/c"}], options={"cancel": STOP}),
    Fn("batched", numbers_of, [{"event": "test/b"}], options={"batchEvents": {"maxSize": 4, "timeout": "1s"}}),
    Fn("debounced", number_of, [{"event": "test/d"}], options={"debounce": {"period": "1s", "key": "event.data.n"}}),
    Fn("once", number_of, [{"event": "test/o"}], options={"idempotency": "event.data.n"}),
    Fn("limited", pipeline, [{"event": "test/l"}], options=LIMITS),
    Fn(
        "keyed",
        pipeline,
        [{"event": "test/k"}],
        options={"concurrency": [{"limit": 1, "key": "int(event.data.n) % 3"}]},
    ),
    Fn("newest", waiter, [{"event": "test/n"}], options={"singleton": {"mode": "cancel"}}),
    Fn("deferring", deferring, [{"event": "test/e"}]),
    Fn("deferred", number_of, [{"event": DEFERRED, "expression": "event.data._inngest.fn_slug == 'app-deferred'"}]),
    Fn("fetching", elsewhere, [{"event": "test/g"}]),
    Fn("bulky", stuck, [{"event": "test/u"}]),
    Fn("saving", elsewhere, [{"event": "test/p"}]),
    Fn("ticking", ticked, [{"cron": "0 0 1 1 *"}]),
]


def outcomes(n: int, last: int) -> dict[str, tuple[str, Any]]:
    """Return function to what its run for the number `n` must end with; `last` is the last number of all."""
    done = "Completed"
    cancelled = ("Cancelled", None)
    return {
        "pipeline": (done, [n, "abc", n * 2]),
        "limited": (done, [n, "abc", n * 2]),
        "keyed": (done, [n, "abc", n * 2]),
        "waiter": (done, n),
        "impatient": (done, [None, n, "InngestInvokeTimeoutError"]),
        "flaky": (done, [n, "never"]),
        "signalled": (done, n),
        "stuck": cancelled,
        "debounced": (done, n),
        "once": (done, n),
        "newest": (done, n) if n == last else cancelled,
        "deferring": (done, n * 2),
        "fetching": (done, [n + 1, n + 1]),
        "bulky": cancelled,
        "saving": (done, [n + number for number in range(SAVED)]),
    }
