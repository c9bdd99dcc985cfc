"""Serving one call: from the parsed body to the answer (protocol.md section 5).

The order is: state, context, middleware in, the function, middleware out, answer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stepserve_core import _failure, _protocol
from stepserve_core._answer import Answer, Outcome, Renderer
from stepserve_core._context import Context, ContextSync
from stepserve_core._converter import Converter
from stepserve_core._defer import Defers
from stepserve_core._determinism import CheckedRun
from stepserve_core._engine import Run
from stepserve_core._found import Found, Report
from stepserve_core._in_process import serving
from stepserve_core._interrupts import Abort, Interrupt
from stepserve_core._logger import ReplayLogger, fields_of_call
from stepserve_core._memos import read_memo
from stepserve_core._middleware import (
    CallInfo,
    Entered,
    MiddlewareManager,
    StepMemos,
    TransformOutputResult,
    TransformOutputStepInfo,
)
from stepserve_core._opcodes import Op, Opcode
from stepserve_core._outputs import converter_of_function
from stepserve_core._protocol import Call, Request
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import UNSET, encode_output
from stepserve_core._state import Events, fetch_state
from stepserve_core._step import step_and_group, step_and_group_sync
from stepserve_core._step_context import current_steps

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

T = TypeVar("T")


class ServedCall:
    """One call: who is called, with what, and in which runtime."""

    def __init__(
        self,
        client: Inngest,
        function: Function[Any],
        request: Request,
        call: Call,
        *,
        function_id: str,
        target: str | None,
        runtime: Runtime,
        keep_outcome: bool = False,
    ) -> None:
        self._client = client
        self._function = function
        self._request = request
        self._call = call
        self._function_id = function_id
        self._companion = function.companion(function_id)
        self._target = target
        self._runtime = runtime
        self._keep_outcome = keep_outcome
        self._middleware: MiddlewareManager | None = None
        self._logger = ReplayLogger(client.logger, partial(fields_of_call, client.app_id, function_id, call.ctx))
        self._renderer = Renderer(client, function, call.ctx)
        self._timing: list[str] = []
        self.returned: object = UNSET
        """What the function returned, before anything was made of it."""
        self.outcome = Outcome()
        """How it ended, after middleware; forgotten with the answer, unless it is to be kept."""
        self._defers: Defers | None = None
        server = serving.get()
        self._substitutes = None if server is None else server.substitutes

    async def answer(self) -> Answer:
        """Serve the call."""
        call = self._call
        if call.use_api or call.ctx.use_api:
            await self._timed("use_api", fetch_state(self._client, self._runtime, call))
        if self._client.middleware or self._function.middleware:
            answer = await self._answer_with_middleware()
        else:
            try:
                self.outcome = self._dump(await self._run())
                answer = self._render()
            except Exception as error:  # an output that JSON cannot carry
                answer = self._answer_error(error)
        if not self._keep_outcome:  # the traceback of an error holds the frames that it left, and they hold this
            self.outcome = Outcome()
        return Answer(answer.status, answer.body, answer.headers, self._timing)

    async def _answer_with_middleware(self) -> Answer:
        headers = self._request.headers
        middleware = MiddlewareManager(self._client, self._request.raw, self._runtime, headers=headers)
        middleware.add(self._client.middleware)
        middleware.add(self._function.middleware)
        self._middleware = middleware
        entered = Entered()
        try:
            answer = await self._answer_through(middleware, entered)
        except BaseException as error:  # the request was cancelled
            entered.leave(error)
            if not isinstance(error, GeneratorExit):  # after that one, nothing can be awaited
                await self._respond_to_nobody(middleware)
            raise
        entered.leave(self.outcome.error)
        return answer

    async def _respond_to_nobody(self, middleware: MiddlewareManager) -> None:
        """Let middleware put away what it holds, although there will be no answer."""
        try:
            await middleware.run("before_response")
        except Exception as error:  # the cancellation must go on
            self._client.logger.error("a hook failed after its call was cancelled", exc_info=error)

    async def _answer_through(self, middleware: MiddlewareManager, entered: Entered) -> Answer:
        try:
            middleware.enter(entered, "around_call", self._info())
            try:
                outcome = self._dump(await self._run())
            except Exception as error:  # of a hook before the function, or of an output that JSON cannot carry
                outcome = Outcome(error=error)
            self.outcome = await self._transform(middleware, outcome)
            answer = self._render()
        except Exception as error:
            answer = self._answer_error(error)
        try:
            await middleware.run("before_response")
        except Exception as error:
            answer = self._answer_error(error)
        return answer

    def _render(self) -> Answer:
        return self._renderer.render(self.outcome, self._defers.ops if self._defers is not None else ())

    def _answer_error(self, error: Exception) -> Answer:
        self.outcome = Outcome(error=error)
        return self._renderer.render_error(error)

    def _info(self) -> CallInfo:
        return CallInfo(self._function_id, self._call.ctx.run_id, self._call.ctx.attempt)

    def _context(self, run: Run) -> Context | ContextSync:
        ctx, client, header = self._call.ctx, self._client, self._request.headers.get
        sender = client.make_sender(self._runtime, self._middleware)
        events = Events(self._call)
        job_id, request_id = header(_protocol.JOB_ID) or None, header(_protocol.REQUEST_ID) or None
        logger: Any = self._logger
        head = ctx.attempt, events.first, events.all
        if self._runtime.is_async:
            step, group = step_and_group(run, client, sender)
            return Context(*head, group, job_id, logger, request_id, ctx.run_id, step)
        step_sync, group_sync = step_and_group_sync(run, client, sender)
        return ContextSync(*head, group_sync, job_id, logger, request_id, ctx.run_id, step_sync)

    async def _run(self) -> Outcome:
        memos = self._call.steps
        middleware = self._middleware
        if middleware is not None and not middleware.uses("transform_input"):
            middleware = None
        if middleware is not None:
            memos = {hashed: read_memo(memo) for hashed, memo in memos.items()}
        run = self._make_run(memos)
        context = self._context(run)
        if middleware is not None:
            hook = middleware.run("transform_input", context, self._function, StepMemos(memos))
            await self._timed("mw.transform_input", hook)
            run.new_code_due = not memos
        if self._middleware is None or not self._middleware.uses("around_function"):
            return await self._run_function(run, context)
        entered = Entered()
        try:
            self._middleware.enter(entered, "around_function", self._info())
            outcome = await self._run_function(run, context)
        except BaseException as error:  # of a hook, or the request was cancelled
            entered.leave(error)
            raise
        entered.leave(outcome.error)
        return outcome

    async def _run_function(self, run: Run, context: Context | ContextSync) -> Outcome:
        token = current_steps.set(context.step)
        try:
            if self._function.event_types and self._companion is None:
                self._function.event_types.apply(context)
            if run.new_code_due:
                await run.start_new_code()
            output = await self._timed("function", self._runtime.execute(run, self._handler(run), context))
            self.returned = output
            run.check_ended()
        except Interrupt as interrupt:
            return Outcome(reports=interrupt.reports)
        except Abort as abort:
            return Outcome(error=abort.error)
        except Exception as error:
            return Outcome(error=_failure.sole_cause(error))
        finally:
            run.close()
            current_steps.reset(token)
        return Outcome(output=output)

    async def _timed(self, name: str, work: Awaitable[T]) -> T:
        started = time.perf_counter()
        try:
            return await work
        finally:
            self._timing.append(f"{name};dur={int((time.perf_counter() - started) * 1000)}")

    def _make_run(self, memos: dict[str, Any]) -> Run:
        ctx = self._call.ctx
        checker = self._client.checker
        kind: type[Run] = Run if checker is None else CheckedRun
        run = kind(
            self._runtime,
            memos,
            finished=self._call.finished,
            target=self._target,
            plan_only=ctx.disable_immediate_execution,
            last_attempt=self._is_last_attempt(),
            on_new_code=self._new_code,
            call_step=None if self._middleware is None and self._substitutes is None else self._call_step,
        )
        run.open_defers = self._open_defers
        if checker is not None and isinstance(run, CheckedRun):
            run.checker, run.function_id = checker, self._function_id
        return run

    def _open_defers(self) -> Defers:
        if self._defers is None:
            self._defers = Defers(self._client.app_id, self._call.defers)
        return self._defers

    async def _call_step(self, found: Found) -> object:
        handler = found.ask.handler
        assert handler is not None
        if self._substitutes is not None:
            handler = self._substitutes.substitute(self._function_id, self._call.ctx.run_id, found) or handler
        if self._middleware is None:
            return await self._runtime.call(handler, *found.ask.args)
        step = TransformOutputStepInfo(found.step_id, found.ask.opcode, found.ask.opts)
        entered = Entered()
        try:
            self._middleware.enter(entered, "around_step", step)
            output = await self._runtime.call(handler, *found.ask.args)
        except BaseException as error:
            entered.leave(error)
            raise
        entered.leave(None)
        return output

    def _is_last_attempt(self) -> bool:
        ctx = self._call.ctx
        return ctx.max_attempts is not None and ctx.attempt + 1 >= ctx.max_attempts

    async def _new_code(self) -> None:
        self._logger.is_silent = False
        if self._middleware is not None:
            await self._middleware.run("before_execution")

    def _handler(self, run: Run) -> Callable[..., Any]:
        handler = self._companion or self._function.handler
        checker = self._client.checker
        if checker is not None and checker.watches_clock and isinstance(run, CheckedRun):
            return run.watched(handler)
        return handler

    def _dump(self, outcome: Outcome) -> Outcome:
        """Take typed outputs to what JSON can carry; middleware sees them so."""
        for report in outcome.reports or ():
            if report.converter is not None and report.op.op == Opcode.STEP_RUN.value:
                report.output = self._to_json(report.converter, report.output, f"step {report.op.display_name!r}")
        if outcome.reports is not None or outcome.error is not None:
            return outcome
        function, serializer = self._function, self._client.serializer
        converter = converter_of_function(function, serializer, companion=self._companion)
        if converter is None:
            return outcome
        return outcome._replace(output=self._to_json(converter, outcome.output, f"function {function.local_id!r}"))

    def _to_json(self, converter: Converter, output: object, where: str) -> object:
        dumped = converter.dump(output, where)
        if self._middleware is not None and self._middleware.uses("transform_output"):
            return msgspec.json.decode(encode_output(dumped, where))
        return dumped

    async def _transform(self, middleware: MiddlewareManager, outcome: Outcome) -> Outcome:
        if outcome.error is None:
            try:
                await middleware.run_reversed("after_execution")
                await self._announce(middleware, outcome.reports or [])
            except Exception as error:  # whoever reports errors from `transform_output` learns of it there
                outcome = Outcome(error=error)
        if outcome.reports is None:
            result = TransformOutputResult(outcome.error, outcome.output, None)
            await self._transform_output(middleware, result)
            output = None if result.output is UNSET else result.output  # middleware took the error away
            return Outcome(error=result.error, output=output)
        if len(outcome.reports) == 1:
            report = outcome.reports[0]
            result = TransformOutputResult(report.error, report.output, _step_info(report))
            await self._transform_output(middleware, result)
            report.error, report.output, report.op.opts = result.error, result.output, report.opts
            self._match_opcode(report.op, failed=report.error is not None)
        return outcome

    async def _announce(self, middleware: MiddlewareManager, reports: list[Report]) -> None:
        deferred = self._defers.ops if self._defers is not None else []
        if (reports or deferred) and middleware.uses("before_report"):
            steps = [_step_info(report) for report in reports]
            steps += [
                TransformOutputStepInfo(op.display_name, Opcode(op.op), op.opts if isinstance(op.opts, dict) else None)
                for op in deferred
            ]
            await middleware.run_reversed("before_report", steps)

    async def _transform_output(self, middleware: MiddlewareManager, result: TransformOutputResult) -> None:
        await self._timed("mw.transform_output", middleware.run_reversed("transform_output", result))

    def _match_opcode(self, op: Op, *, failed: bool) -> None:
        """Let the opcode say what became of a step after middleware gave it an error, or took its error away."""
        if failed and op.op == Opcode.STEP_RUN.value:
            op.op = (Opcode.STEP_FAILED if self._is_last_attempt() else Opcode.STEP_ERROR).value
        elif not failed and op.op in (Opcode.STEP_ERROR.value, Opcode.STEP_FAILED.value):
            op.op = Opcode.STEP_RUN.value


def _step_info(report: Report) -> TransformOutputStepInfo:
    return TransformOutputStepInfo(report.op.display_name, Opcode(report.op.op), report.opts)
