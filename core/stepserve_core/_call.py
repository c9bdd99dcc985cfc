"""Serving one call: from the parsed body to the answer (protocol.md section 5).

The order is: state, context, middleware in, the function, middleware out, answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from stepserve_core import _failure, _protocol
from stepserve_core._answer import Answer, Outcome, Renderer
from stepserve_core._checkpoints import Checkpoints, make_checkpoints, without_unsaved
from stepserve_core._context import Context, ContextSync
from stepserve_core._defer import Defers
from stepserve_core._determinism import CheckedRun
from stepserve_core._engine import Run
from stepserve_core._found import Found
from stepserve_core._given_arguments import as_header
from stepserve_core._in_process import StepSubstitutes, serving
from stepserve_core._interrupts import Abort, Interrupt
from stepserve_core._logger import ReplayLogger, fields_of_call
from stepserve_core._memos import read_memo
from stepserve_core._middleware import CallInfo, Entered, MiddlewareManager, StepMemos
from stepserve_core._opcodes import Op
from stepserve_core._outgoing import Outgoing, timed
from stepserve_core._protocol import Call, Request
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import UNSET
from stepserve_core._state import Events, fetch_state
from stepserve_core._step_and_group import step_and_group, step_and_group_sync
from stepserve_core._transformed_output import TransformOutputStepInfo
from stepserve_core.step_context import current_steps

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
        checkpoints: Checkpoints | None = None,
        substitutes: StepSubstitutes | None = None,
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
        last = self._is_last_attempt()
        self._outgoing = Outgoing(client, function, self._companion, self._timing, last_attempt=last)
        self._checkpoints = checkpoints or make_checkpoints(client, function, request, call, target, runtime)
        self.returned: object = UNSET
        """What the function returned, before anything was made of it."""
        self.outcome = Outcome()
        """How it ended, after middleware; forgotten with the answer, unless it is to be kept."""
        self._defers: Defers | None = None
        is_asked = bool(request.headers.get(_protocol.CHANGED_ARGUMENTS))
        self._checker = client.asked_checker if is_asked else client.checker
        self._changed_arguments: dict[str, str] | None = {} if is_asked else None
        server = serving.get()
        self._substitutes = substitutes if substitutes is not None or server is None else server.substitutes

    async def answer(self) -> Answer:
        """Serve the call."""
        call = self._call
        if call.use_api or call.ctx.use_api:
            await timed(self._timing, "use_api", fetch_state(self._client, self._runtime, call))
        if self._client.middleware or self._function.middleware:
            answer = await self._answer_with_middleware()
        else:
            try:
                self.outcome = self._outgoing.dump(await self._run())
                answer = self._render()
            except Exception as error:  # an output that JSON cannot carry
                answer = self._answer_error(error)
        if not self._keep_outcome:  # the traceback of an error holds the frames that it left, and they hold this
            self.outcome = Outcome()
        headers = answer.headers
        if self._changed_arguments:
            headers = {**headers, _protocol.CHANGED_ARGUMENTS: as_header(self._changed_arguments)}
        return Answer(answer.status, answer.body, headers, self._timing)

    async def _answer_with_middleware(self) -> Answer:
        headers = self._request.headers
        middleware = MiddlewareManager(self._client, self._request.raw, self._runtime, headers=headers)
        middleware.add(self._client.middleware)
        middleware.add(self._function.middleware)
        self._middleware = self._outgoing.middleware = middleware
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
                outcome = self._outgoing.dump(await self._run())
            except Exception as error:  # of a hook before the function, or of an output that JSON cannot carry
                outcome = Outcome(error=error)
            if self._checkpoints is None or self._checkpoints.ending is None:  # which middleware has seen
                outcome = await self._outgoing.transform(outcome, self._deferred())
            self.outcome = outcome
            answer = self._render()
        except Exception as error:
            answer = self._answer_error(error)
        try:
            await middleware.run("before_response")
        except Exception as error:
            answer = self._answer_error(error)
        return answer

    def _render(self) -> Answer:
        unsaved = () if self._checkpoints is None else self._checkpoints.unsaved
        return self._renderer.render(without_unsaved(self.outcome, unsaved), self._deferred(), unsaved)

    def _deferred(self) -> Sequence[Op]:
        return () if self._defers is None else self._defers.ops

    def _answer_error(self, error: Exception) -> Answer:
        self.outcome = Outcome(error=error)
        return self._render()

    def _info(self) -> CallInfo:
        return CallInfo(self._function_id, self._call.ctx.run_id, self._call.ctx.attempt)

    def _context(self, run: Run) -> Context | ContextSync:
        ctx, client, header = self._call.ctx, self._client, self._request.headers.get
        sender = client.make_sender(self._runtime, self._middleware, ctx.run_id)
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
            await timed(self._timing, "mw.transform_input", hook)
            run.new_code_due = not memos
        if self._middleware is None or not self._middleware.uses("around_function"):
            return await self._run_to_end(run, context)
        entered = Entered()
        try:
            self._middleware.enter(entered, "around_function", self._info())
            outcome = await self._run_to_end(run, context)
        except BaseException as error:  # of a hook, or the request was cancelled
            entered.leave(error)
            raise
        entered.leave(outcome.error)
        return outcome

    async def _run_to_end(self, run: Run, context: Context | ContextSync) -> Outcome:
        if self._checkpoints is None:
            return await self._run_function(run, context)
        run.checkpoints = self._checkpoints
        self._checkpoints.prepare = self._outgoing.prepare
        self._outgoing.context = context
        try:
            return await self._checkpoints.end(await self._run_function(run, context))
        finally:
            self._checkpoints.close()
            # Each of these leads to the next: without this, only the garbage collector would free the event.
            self._outgoing.context = run.checkpoints = self._checkpoints.prepare = None

    async def _run_function(self, run: Run, context: Context | ContextSync) -> Outcome:
        token = current_steps.set(context.step)
        try:
            if self._function.event_types and self._companion is None:
                self._function.event_types.apply(context)
            if run.new_code_due:
                await run.start_new_code()
            output = await timed(self._timing, "function", self._runtime.execute(run, self._handler(run), context))
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

    def _make_run(self, memos: dict[str, Any]) -> Run:
        ctx = self._call.ctx
        checker = self._checker
        kind: type[Run] = Run if checker is None else CheckedRun
        run = kind(
            self._runtime,
            memos,
            finished=self._call.finished,
            target=self._target,
            plan_only=ctx.disable_immediate_execution,
            last_attempt=self._outgoing.last_attempt,
            on_new_code=self._new_code,
            call_step=None if self._middleware is None and self._substitutes is None else self._call_step,
        )
        run.open_defers = self._open_defers
        if checker is not None and isinstance(run, CheckedRun):
            run.check_with(checker, self._function_id, ctx)
            if self._changed_arguments is not None:
                self._changed_arguments = run.changed_arguments
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
        checker = self._checker
        if checker is not None and checker.watches_clock and isinstance(run, CheckedRun):
            return run.watched(handler)
        return handler
