"""The app of the crash test: functions of every kind, what their runs must end with, a witness of repeated work."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from stepserve_core._protocol import Response
from tests.executor.raw_app import (
    Call,
    Fn,
    RaisedError,
    RawApp,
    Step,
    StepFailedError,
    invoke,
    replay,
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


LIMITS = {
    "throttle": {"limit": 20, "period": "1s", "burst": 5},
    "concurrency": {"fn": [{"limit": 8}], "step": [{"limit": 3}]},
    "singleton": {"mode": "skip", "key": "event.data.n"},
    "timeouts": {"start": "10m", "finish": "10m"},
    "priority": {"run": "int(event.data.n)"},
}
THIRD = "int(event.data.n) % 3"
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
    }


class Witness(RawApp):
    """An app that notices when a step is executed although it had its memo before."""

    def __init__(self) -> None:
        super().__init__(list(FUNCTIONS))
        self.memoised: dict[str, set[str]] = {}
        self.violations: list[tuple[str, str]] = []
        for fn in self.functions:
            self.replies[fn.id] = self._watch(fn.script)

    def _watch(self, script: Any) -> Any:
        def answer(call: Call) -> Response:
            self.calls.clear()  # of hundreds of kills these would be too many to keep
            known = self.memoised.setdefault(call.body["ctx"]["run_id"], set())
            known.update(call.memos)
            lost = known - set(call.memos)
            self.violations += [(call.function, step) for step in lost]
            if call.target in known:
                self.violations.append((call.function, f"{call.target} again"))
            return replay(script, call)

        return answer
