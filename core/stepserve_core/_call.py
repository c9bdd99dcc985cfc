"""Serving one call: from the parsed body to the answer (protocol.md section 5).

The order is: state, context, middleware in, the function, middleware out, answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

import msgspec

from stepserve_core import _durations, _failure, _http, _protocol
from stepserve_core._context import Context, ContextSync
from stepserve_core._engine import Run
from stepserve_core._event import Event, decode_event
from stepserve_core._found import Report
from stepserve_core._group import Group, GroupSync
from stepserve_core._interrupts import Abort, Interrupt
from stepserve_core._logger import ReplayLogger
from stepserve_core._memos import read_memo
from stepserve_core._middleware import (
    MiddlewareManager,
    StepMemos,
    TransformOutputResult,
    TransformOutputStepInfo,
)
from stepserve_core._opcodes import Op, Opcode
from stepserve_core._protocol import Call, Request
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import Runtime
from stepserve_core._send import EventSender
from stepserve_core._serialize import UNSET, encode_output, encode_wire
from stepserve_core._step import Step, StepSync
from stepserve_core.errors import BodyInvalidError, RetryAfterError, StateUnavailableError, is_quiet, is_retriable

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

STATE_TIMEOUT = 30.0
"""Seconds for fetching state that was too large for the request (5.4)."""


class Answer(NamedTuple):
    """What the handler sends: it adds the headers that every answer has."""

    status: int
    body: bytes
    headers: dict[str, str]


class ServedCall(NamedTuple):
    """One call: who is called, with what, and in which runtime."""

    client: Inngest
    function: Function[Any]
    is_failure_handler: bool
    request: Request
    call: Call
    target: str | None
    runtime: Runtime

    async def answer(self) -> Answer:
        """Serve the call."""
        if self.call.use_api or self.call.ctx.use_api:
            await _fetch_state(self.client, self.runtime, self.call)
        return await _Execution(self).answer()


class _Outcome(NamedTuple):
    """How the function ended: with reports, with an error, or with an output."""

    reports: list[Report] | None = None
    error: Exception | None = None
    output: object = UNSET


class _Execution:
    def __init__(self, served: ServedCall) -> None:
        self._served = served
        self._runtime = served.runtime
        function, client = served.function, served.client
        self._middleware: MiddlewareManager | None = None
        if client.middleware or function.middleware:
            self._middleware = MiddlewareManager(client, served.request.raw, served.runtime)
            self._middleware.add(client.middleware)
            self._middleware.add(function.middleware)
        self._logger = ReplayLogger(client.logger)

    async def answer(self) -> Answer:
        context, memos = self._context_parts()
        try:
            outcome = await self._run(context, memos)
            outcome = await self._transform(outcome)
            answer = self._render(outcome)
        except Exception as error:
            answer = self._render_error(error)
        if self._middleware is not None:
            await self._middleware.run("before_response")
        return answer

    def _context_parts(self) -> tuple[Callable[[Run], Context | ContextSync], dict[str, Any]]:
        served, call = self._served, self._served.call

        def build(run: Run) -> Context | ContextSync:
            sender = EventSender(served.client, self._runtime, self._middleware)
            events = _Events(call)
            fields: dict[str, Any] = {
                "attempt": call.ctx.attempt,
                "event": events.first,
                "events": events.all,
                "job_id": served.request.headers.get(_protocol.JOB_ID) or None,
                "logger": self._logger,
                "request_id": served.request.headers.get(_protocol.REQUEST_ID) or None,
                "run_id": call.ctx.run_id,
            }
            context: Context | ContextSync
            if self._runtime.is_async:
                context = Context(group=Group(run), step=Step(run, served.client, sender), **fields)
            else:
                context = ContextSync(group=GroupSync(run), step=StepSync(run, served.client, sender), **fields)
            return context

        return build, call.steps

    async def _run(self, build: Callable[[Run], Context | ContextSync], memos: dict[str, Any]) -> _Outcome:
        transforming = self._middleware is not None and self._middleware.uses("transform_input")
        if transforming:
            memos = {hashed: read_memo(memo) for hashed, memo in memos.items()}
        run = self._make_run(memos)
        context = build(run)
        if transforming and self._middleware is not None:
            await self._middleware.run("transform_input", context, self._served.function, StepMemos(memos))
            run.new_code_due = not memos
        try:
            if run.new_code_due:
                await run.start_new_code()
            output = await self._runtime.execute(run, self._handler(), context)
            run.check_ended()
        except Interrupt as interrupt:
            return _Outcome(reports=interrupt.reports)
        except Abort as abort:
            return _Outcome(error=abort.error)
        except Exception as error:
            return _Outcome(error=_failure.sole_cause(error))
        finally:
            run.close()
        return _Outcome(output=output)

    def _make_run(self, memos: dict[str, Any]) -> Run:
        ctx = self._served.call.ctx
        return Run(
            self._runtime,
            memos,
            finished=self._served.call.finished,
            target=self._served.target,
            plan_only=ctx.disable_immediate_execution,
            last_attempt=self._is_last_attempt(),
            on_new_code=self._new_code,
        )

    def _is_last_attempt(self) -> bool:
        ctx = self._served.call.ctx
        return ctx.max_attempts is not None and ctx.attempt + 1 >= ctx.max_attempts

    async def _new_code(self) -> None:
        self._logger.is_silent = False
        if self._middleware is not None:
            await self._middleware.run("before_execution")

    def _handler(self) -> Callable[..., Any]:
        function = self._served.function
        handler = function.on_failure_handler if self._served.is_failure_handler else function.handler
        assert handler is not None
        return handler

    async def _transform(self, outcome: _Outcome) -> _Outcome:
        if self._middleware is None:
            return outcome
        if outcome.error is None:
            await self._middleware.run_reversed("after_execution")
        if outcome.reports is None:
            result = TransformOutputResult(outcome.error, outcome.output, None)
            await self._middleware.run_reversed("transform_output", result)
            output = None if result.output is UNSET else result.output  # middleware took the error away
            return _Outcome(error=result.error, output=output)
        if len(outcome.reports) == 1:
            report = outcome.reports[0]
            step = TransformOutputStepInfo(report.op.display_name, Opcode(report.op.op), report.opts)
            result = TransformOutputResult(report.error, report.output, step)
            await self._middleware.run_reversed("transform_output", result)
            report.error, report.output, report.op.opts = result.error, result.output, report.opts
            self._match_opcode(report.op, failed=report.error is not None)
        return outcome

    def _match_opcode(self, op: Op, *, failed: bool) -> None:
        """Let the opcode say what became of a step after middleware gave it an error, or took its error away."""
        if failed and op.op == Opcode.STEP_RUN.value:
            op.op = (Opcode.STEP_FAILED if self._is_last_attempt() else Opcode.STEP_ERROR).value
        elif not failed and op.op in (Opcode.STEP_ERROR.value, Opcode.STEP_FAILED.value):
            op.op = Opcode.STEP_RUN.value

    def _render(self, outcome: _Outcome) -> Answer:
        if outcome.reports is not None:
            return self._render_reports(outcome.reports)
        if outcome.error is not None:
            return self._render_error(outcome.error)
        function = self._served.function
        output = self._serialize(outcome.output, function.output_type)
        return Answer(200, encode_output(output, f"function {function.local_id!r}"), {})

    def _render_reports(self, reports: list[Report]) -> Answer:
        headers: dict[str, str] = {}
        ops: list[Op] = []
        for report in reports:
            op = report.op
            if report.error is not None:
                op.error = _failure.to_wire(report.error)
                if not is_retriable(report.error):
                    headers[_protocol.NO_RETRY] = "true"
                self._log(f"step {op.display_name!r} of function", report.error)
            elif op.op == Opcode.STEP_RUN.value:
                output = self._serialize(report.output, report.output_type)
                op.data = msgspec.Raw(encode_output(output, f"step {op.display_name!r}"))
            elif op.opts:
                op.opts = msgspec.Raw(encode_output(op.opts, f"the data given to step {op.display_name!r}"))
            ops.append(op)
        return Answer(206, encode_wire(ops), headers)

    def _serialize(self, output: object, output_type: object) -> object:
        serializer = self._served.client.serializer
        if serializer is None or output_type is UNSET:
            return output
        return serializer.serialize(output, output_type)

    def _render_error(self, error: Exception) -> Answer:
        headers: dict[str, str] = {}
        if not is_retriable(error):
            headers[_protocol.NO_RETRY] = "true"
        if isinstance(error, RetryAfterError):
            headers[_protocol.RETRY_AFTER] = _durations.to_iso(error.retry_after)
        self._log("function", error)
        return Answer(500, encode_wire(_failure.to_wire(error)), headers)

    def _log(self, what: str, error: Exception) -> None:
        if not is_quiet(error):
            served = self._served
            served.client.logger.error(
                "%s %s failed (run %s, attempt %s): %s: %s",
                what,
                served.function.id,
                served.call.ctx.run_id,
                served.call.ctx.attempt,
                type(error).__name__,
                error,
                exc_info=error,
            )


def _read_event(raw: msgspec.Raw) -> Event:
    try:
        return decode_event(raw, Event)
    except msgspec.ValidationError as error:
        raise BodyInvalidError(f"the request body is not as the protocol has it: event: {error}") from None


class _Events:
    """The events of a call, decoded when they are asked for, and only once where one event came twice."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._first: Event | None = None

    def first(self) -> Event:
        if self._first is None:
            self._first = _read_event(self._call.event)
        return self._first

    def all(self) -> list[Event]:
        raws = self._call.events or [self._call.event]
        if len(raws) == 1 and memoryview(raws[0]) == memoryview(self._call.event):
            return [self.first()]
        return [_read_event(raw) for raw in raws]


async def _fetch_state(client: Inngest, runtime: Runtime, call: Call) -> None:
    """Fetch the memos and events that were too large for the request, and put them into `call` (5.4).

    Raises:
        StateUnavailableError: the server did not give them.
        BodyInvalidError: it gave something else.
    """

    async def get(what: str, shape: type[Any], wanted: str) -> Any:
        url = urljoin(client.api_origin, f"/v0/runs/{call.ctx.run_id}/{what}")
        try:
            response = await send_authenticated(
                client, runtime, "GET", url, headers=client.headers, timeout=STATE_TIMEOUT
            )
        except _http.HTTPFailedError as error:
            raise StateUnavailableError(f"the run's state could not be fetched from {url}: {error}") from None
        if response.status >= 400:
            text = response.body[:200].decode("utf-8", "replace")
            raise StateUnavailableError(f"HTTP error: {response.status} {text}")
        try:
            return msgspec.json.decode(response.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BodyInvalidError(wanted) from None

    events, memos = await runtime.gather(
        lambda: get("batch", list[msgspec.Raw], "batch data is not an array"),
        lambda: get("actions", dict[str, Any], "step data is not an object"),
    )
    call.events, call.steps = events, memos
