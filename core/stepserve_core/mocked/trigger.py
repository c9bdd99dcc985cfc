"""Run a function to its end, as a server would (protocol.md 10.10).

Every step is planned first and then executed by a call that targets it, so that a test runs through the same
turns as production with parallel steps. What steps return goes through JSON, for the same reason.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from stepserve_core import Event, Function, Inngest
from stepserve_core._answer import Answer, Outcome
from stepserve_core._call import ServedCall
from stepserve_core._opcodes import Opcode
from stepserve_core._protocol import Call, CallContext, Request, Stack
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, background_loop, run_sync
from stepserve_core._serialize import UNSET, encode_wire
from stepserve_core.errors import Error, StepError, is_retriable
from stepserve_core.mocked.result import Result, Status
from stepserve_core.mocked.stubs import Stubs, through_json

DEFAULT_RETRIES = 4
"""What the server does for a function that does not say."""


def trigger(
    fn: Function[Any],
    event: Event | list[Event],
    client: Inngest,
    *,
    step_stubs: dict[str, object] | None = None,
) -> Result:
    """Run `fn` to its end and say how it ended.

    Args:
        fn: a function of either colour.
        event: what starts it; a list is a batch.
        client: a `mocked.Inngest`, so that nothing is sent.
        step_stubs: what comes of steps, by their ids: the result of a step that is not to run or that only a server
            can do, `Timeout` for an event that does not come, or an exception with which the step fails.

    Raises:
        UnstubbedStepError: a step that only a server can do has no stub.
        Error: there is no event.
    """
    events = event if isinstance(event, list) else [event]
    if not events:
        raise Error("Must provide at least 1 event")
    return _Trial(fn, events, client, Stubs(step_stubs or {})).run()


class _FunctionFailedError(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Trial:
    def __init__(self, fn: Function[Any], events: list[Event], client: Inngest, stubs: Stubs) -> None:
        self._fn = fn
        now = int(time.time() * 1000)
        self._events = [msgspec.Raw(encode_wire({**one.wire(), "ts": one.ts or now})) for one in events]
        self._client = client
        self._stubs = stubs
        self._retries = DEFAULT_RETRIES if fn.retries is None else fn.retries
        self._memos: dict[str, dict[str, Any]] = {}
        self._failures: dict[tuple[str, str], Exception] = {}
        """What failed steps raised, by name and message."""

    def run(self) -> Result:
        """Call the function until it ends."""
        attempt = 0
        try:
            while True:
                answer, served = self._call(None, attempt)
                if served.outcome.reports is None and served.outcome.error is None:
                    return Result(None, self._output(answer, served), Status.COMPLETED)
                attempt = self._after(answer, served.outcome, attempt)
        except _FunctionFailedError as failed:
            return Result(failed.error, None, Status.FAILED)

    def _output(self, answer: Answer, served: ServedCall) -> object:
        """Return what the function returned, as it is unless the client's serializer or middleware changes it."""
        is_serialized = self._client.serializer is not None and self._fn.output_type is not UNSET
        has_middleware = self._client.middleware or self._fn.middleware
        return through_json(answer.body) if is_serialized or has_middleware else served.returned

    def _after(self, answer: Answer, outcome: Outcome, attempt: int) -> int:
        """Do what a server does with an answer that is not the last one; return the number of the next attempt."""
        if outcome.error is not None:
            if attempt >= self._retries or not is_retriable(outcome.error):
                raise _FunctionFailedError(self._original(outcome.error))
            return attempt + 1
        for op in through_json(answer.body):
            self._settle(op)
        return 0

    def _settle(self, op: dict[str, Any]) -> None:
        """Get a memo for a step that was planned, or that asks something of the server."""
        step_id = op["displayName"]
        if op["op"] == Opcode.PLANNED.value and step_id not in self._stubs:
            self._execute(op["id"])
        elif op["op"] == Opcode.SLEEP.value:
            self._memos[op["id"]] = {"data": None}
        else:
            memo = self._memos[op["id"]] = self._stubs.memo(step_id)
            if "error" in memo:
                self._note_failure(memo["error"], self._stubs.error(step_id))

    def _execute(self, hashed: str) -> None:
        """Call the function for one step until that has a result or failed for good."""
        attempt = 0
        while hashed not in self._memos:
            answer, served = self._call(hashed, attempt)
            outcome = served.outcome
            if outcome.reports is None:
                if outcome.error is None:  # it ended without the step, which the engine takes for an error
                    raise AssertionError("a function ended although a step was asked for")
                attempt = self._after(answer, outcome, attempt)
                continue
            (op,), (report,) = through_json(answer.body), outcome.reports
            if report.error is None:
                self._memos[hashed] = {"data": op["data"]}
            elif op["op"] == Opcode.STEP_FAILED.value or not is_retriable(report.error):
                self._memos[hashed] = {"error": op["error"]}
                self._note_failure(op["error"], report.error)
            attempt += 1

    def _note_failure(self, wire: dict[str, Any], error: Exception) -> None:
        self._failures[wire["name"], wire["message"]] = error

    def _original(self, error: Exception) -> Exception:
        if isinstance(error, StepError):
            return self._failures.get((error.name, error.message), error)
        return error

    def _call(self, target: str | None, attempt: int) -> tuple[Answer, ServedCall]:
        ctx = CallContext(
            attempt=attempt,
            disable_immediate_execution=True,
            max_attempts=self._retries + 1,
            run_id="test",
            stack=Stack(stack=msgspec.Raw(encode_wire(list(self._memos)))),
        )
        call = Call(ctx=ctx, event=self._events[0], events=self._events, steps=dict(self._memos), use_api=False)
        request = Request("POST", "http://test", {}, b"")
        runtime = AsyncRuntime() if self._fn.is_handler_async else SyncRuntime()
        fn = self._fn
        served = ServedCall(
            self._client,
            fn,
            request,
            call,
            function_id=fn.id,
            target=target,
            runtime=runtime,
            keep_outcome=True,
        )
        answer = background_loop.run(served.answer) if runtime.is_async else run_sync(served.answer())
        return answer, served
