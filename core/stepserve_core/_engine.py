"""The step engine: from what a function reaches and what is memoised, what happens next.

One `Run` serves one call. It decides; the runtime acts and is the only one who knows whether the function is
`def` or `async def`. Everything here is written once, as `async def` over the runtime (protocol.md section 6).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from stepserve_core._branch import Branch, current
from stepserve_core._colour import LEAVE, RunRuntime, Verdict
from stepserve_core._failure import sole_cause
from stepserve_core._found import Found, Report
from stepserve_core._interrupts import (
    Abort,
    BranchInterrupt,
    Interrupt,
    NestedStepInterrupt,
    NestedStepsError,
    holds_nested_step,
)
from stepserve_core._memos import MISSING, Memo, read_memo
from stepserve_core._opcodes import Opcode, hash_step_id
from stepserve_core.errors import (
    NonRetriableError,
    RetryAfterError,
    StepError,
    StepOutsideFunctionError,
    StepUnexpectedError,
)

if TYPE_CHECKING:
    from stepserve_core._checkpoints import Checkpoints
    from stepserve_core._defer import Defers


_EXECUTED = Opcode.STEP_RUN.value
_inside_step: ContextVar[tuple[Run, Found] | None] = ContextVar("stepserve_inside_step", default=None)


def executing_step() -> Found | None:
    """Return the step inside whose handler we are."""
    inside = _inside_step.get()
    return None if inside is None else inside[1]


class Run:
    """One call of a function: its memos, and the verdict on every step that it reaches.

    Args:
        memos: hashed id to the memo as it came, or to a `Memo` that middleware has seen.
        finished: gives the hashed ids in the order in which they finished.
        target: the hashed id of the one step to execute, if the server asks for one (6.3).
        plan_only: do not execute a step that is not targeted (`disable_immediate_execution`).
        last_attempt: an error of a step is final now.
        on_new_code: called once, when the function passes its last memo (9.2, hook `before_execution`).
        call_step: calls the handler of a step, where middleware stands around it.
    """

    def __init__(
        self,
        runtime: RunRuntime,
        memos: dict[str, Any],
        *,
        finished: Callable[[], list[str]],
        target: str | None = None,
        plan_only: bool = False,
        last_attempt: bool = False,
        on_new_code: Callable[[], Awaitable[None]],
        call_step: Callable[[Found], Awaitable[object]] | None = None,
    ) -> None:
        self.runtime = runtime
        self.finished = finished
        # Whatever is targeted but already done leaves the run free to go on to what comes next (6.3).
        self.target = None if target in memos and read_memo(memos[target]).args is None else target
        self.plan_only = plan_only
        self.new_code_due = not memos
        self.memos = memos
        self._last_attempt = last_attempt
        self._on_new_code = on_new_code
        self._call_step = call_step
        self._started_new_code = False
        self._refusal: Callable[[str], BaseException] | None = None
        # A step is being executed, or the function or a branch was interrupted or has ended: steps may be refused.
        self._is_guarded = False
        self.checkpoints: Checkpoints | None = None
        """What saves executed steps while the function goes on; None where each is an answer (13.1)."""
        self.departure: Abort | Interrupt | None = None
        """Why the function is being left, once it is."""
        self._uses: dict[str, int] = {}
        self.repeats: dict[str, int] = {}
        """The hashed id of each repeated step to the index that tells it from the first (6.1)."""
        self._last_failure: StepError | None = None
        self.edited_input: dict[str, list[object]] = {}
        self.open_defers: Callable[[], Defers] | None = None
        """Gives what the function defers (13.6); the engine has no part in it."""

    def identify(self, step_id: str) -> str:
        """Count a use of `step_id` and return its hashed id; that of a repeat is noted in `repeats` (6.1).

        Raises:
            NestedStepInterrupt: another step of this run is being executed around this one (6.6).
            StepOutsideFunctionError: the function has ended.
        """
        if self._is_guarded:
            self._refuse(step_id)
        uses = self._uses
        if step_id not in uses:
            uses[step_id] = 1
            try:
                return hash_step_id(step_id)
            except AttributeError:
                raise TypeError(f"a step id is text, not {type(step_id).__name__}: step.run('charge', …)") from None
        return self._identify_repeat(step_id)

    @property
    def steps_reached(self) -> int:
        """A number that grows with each step that the function reaches, memoised or not."""
        return len(self._uses)

    @property
    def is_repeating(self) -> bool:
        """Say whether the code outside of steps is only executed to get back to where another call was."""
        return not self._started_new_code or self.target is not None

    def _refuse(self, step_id: str) -> None:
        if self._refusal is not None:
            raise self._refusal(step_id)
        if self.departure is not None:
            raise self.departure
        inside = _inside_step.get()
        if inside is not None and inside[0] is self:
            raise NestedStepInterrupt
        branch = self.current_branch()
        if branch is not None and branch.interrupt is not None:
            raise branch.interrupt

    def _is_refusing(self) -> bool:
        return self._refusal is not None or self.departure is not None

    def _identify_repeat(self, step_id: str) -> str:
        index = self._uses[step_id]
        while f"{step_id}:{index}" in self._uses:  # the repeat of "a" must not collide with a step named "a:1"
            index += 1
        self._uses[step_id] = index + 1
        self._uses[f"{step_id}:{index}"] = 1
        hashed = hash_step_id(f"{step_id}:{index}")
        self.repeats[hashed] = index
        return hashed

    def recall(self, hashed: str) -> object:
        """Return the memoised result of a step, or MISSING.

        Raises:
            StepError: the step failed for good. If it was the last memo, `start_new_code` raises it.
        """
        memo = self.memos.pop(hashed, MISSING)
        if memo is MISSING:
            return MISSING
        if not self.memos and not self._started_new_code:
            self.new_code_due = True
        if type(memo) is dict and len(memo) == 1 and "data" in memo:
            return memo["data"]
        if type(memo) is not Memo:
            memo = read_memo(memo)
        if memo.args is not None:
            self.edited_input[hashed] = memo.args
            return MISSING
        if memo.error is not None:
            memo.error.step_id = self._name_of(hashed)
            if not self.new_code_due:
                raise memo.error
            self._last_failure = memo.error  # raised as soon as middleware and logger know that new code begins
            return MISSING
        return memo.data

    def _name_of(self, hashed: str) -> str | None:
        """Return the id of a step that was reached, most likely just now."""
        return next((step_id for step_id in reversed(self._uses) if hash_step_id(step_id) == hashed), None)

    async def start_new_code(self) -> None:
        """Tell middleware, once, that from here on the function does something new."""
        self.new_code_due = False
        failure, self._last_failure = self._last_failure, None
        if not self._started_new_code:
            self._started_new_code = True
            try:
                await self._on_new_code()
            except Exception as error:
                await self.runtime.fail(self, error)
        if failure is not None:
            raise failure

    async def reach(self, found: Found) -> object:
        """Act on a step without memo. Comes back only by raising, unless executed steps are checkpointed."""
        if found.hashed in self.edited_input:
            try:
                found.ask = found.ask.edited(self.edited_input[found.hashed], found.step_id)
            except NonRetriableError as error:
                await self.runtime.fail(self, error)
        branch = self.current_branch()
        if branch is None:
            verdict = await self.runtime.choose(self, found)
        else:
            verdict = self._choose_in_branch(branch, found)
        began = 0 if self.checkpoints is None else time.time_ns()
        try:
            reports = [await self._act(found, verdict)]
            if self.checkpoints is not None and reports[0].op.op == _EXECUTED:
                output = await self.checkpoints.keep(reports[0], began)
                if output is not LEAVE:
                    self.runtime.resume()
                    return output
        except BaseException:  # the function may catch it (its own timeout, for example) and reach other steps
            self.runtime.resume()
            raise
        # No local keeps the report: the traceback of its error leads back to this frame.
        return await self.runtime.finish(self, [reports.pop()])

    async def _act(self, found: Found, verdict: Verdict) -> Report:
        if not self._started_new_code:
            await self.start_new_code()
        if verdict is Verdict.PLAN or found.ask.handler is None:
            return self.plan(found)
        return await self._execute(found)

    def _choose_in_branch(self, branch: Branch, found: Found) -> Verdict:
        found.mode = branch.mode
        if self.target != found.hashed:
            raise self._interrupt(branch, [found] if self.target is None else [])
        return Verdict.EXECUTE

    def passes_over(self, hashed: str) -> bool:
        """Say whether the server asked for another step than this one, which no group will take note of."""
        return self.target is not None and self.target != hashed and self.current_branch() is None

    def _interrupt(self, branch: Branch, found: list[Found]) -> BranchInterrupt:
        """Interrupt a branch; the steps that its `finally` blocks would start are refused with the same interrupt."""
        if branch.interrupt is None:
            branch.interrupt = BranchInterrupt(found)
            self._is_guarded = True
        return branch.interrupt

    def current_branch(self) -> Branch | None:
        """Return the branch of a parallel group that this very thread of control is in."""
        branch = current.get()
        if branch is None or branch.run is not self or branch.owner is not self.runtime.owner():
            return None
        return branch

    def alone(self, found: Found) -> Verdict:
        """Decide about the only step in sight (6.2, rows 5 to 8).

        Raises:
            Abort: another step is targeted.
        """
        if self.target is not None and self.target != found.hashed:
            raise Abort(StepUnexpectedError(f'found step "{found.step_id}" when targeting a different step'))
        if self.plan_only and self.target is None:
            return Verdict.PLAN
        if self.checkpoints is not None and self.checkpoints.is_over():
            return Verdict.PLAN
        return Verdict.EXECUTE

    def plan(self, found: Found) -> Report:
        """Return the report of a step that is not executed now: a plan, or what it asks of the server."""
        asked = found.ask.opcode
        return Report(found, Opcode.PLANNED if asked is Opcode.STEP_RUN else asked)

    async def _execute(self, found: Found) -> Report:
        found.ask = found.ask.shown()
        assert found.ask.handler is not None
        token = _inside_step.set((self, found))
        self._is_guarded = True
        try:
            if self._call_step is None:
                output = await self.runtime.call(found.ask.handler, *found.ask.args)
            else:
                output = await self._call_step(found)
        except Exception as error:
            cause = sole_cause(error)
            try:
                if isinstance(cause, (NonRetriableError, RetryAfterError)):  # about the whole function (5.8)
                    raise cause from None
                return self._failure(found, cause)
            finally:
                del cause  # its traceback holds this frame
        except BaseException as error:
            if not holds_nested_step(error):
                raise
            return self._failure(found, NestedStepsError("Nested steps are not supported."))
        finally:
            self._is_guarded = self._is_refusing()
            _inside_step.reset(token)
        return Report(found, Opcode.STEP_RUN, output=output)

    def _failure(self, found: Found, error: Exception) -> Report:
        opcode = Opcode.STEP_FAILED if self._last_attempt else Opcode.STEP_ERROR
        return Report(found, opcode, error=error)

    def end_branch(self, branch: Branch, interrupt: BranchInterrupt) -> list[Found]:
        """Return what a branch found that was interrupted, and make room for the next one."""
        branch.interrupt = None
        self._is_guarded = self._is_refusing()
        return interrupt.found  # not the interrupt itself: it holds the caller's very frame

    async def report_group(self, outer: Branch | None, found: list[Found]) -> NoReturn:
        """Leave a group whose branches found these steps. Inside another group, that one reports them."""
        if outer is not None:
            raise self._interrupt(outer, found)
        if found and not self._started_new_code:
            await self.start_new_code()
        await self.runtime.report(self, found)

    def check_ended(self) -> None:
        """Refuse the result of a function that ended without reaching the step it was called for (6.3).

        Raises:
            StepUnexpectedError: it was targeted and never reached.
        """
        if self.target is not None:
            raise StepUnexpectedError(
                "the function ended without reaching the step that the server asked for; did its code change?"
            )

    def leave(self, departure: Abort | Interrupt) -> Abort | Interrupt:
        """Return the exception with which the function ends; steps that its clean-up code reaches meet it again."""
        self.departure = self.departure or departure
        self._is_guarded = True
        return self.departure

    def close(self, refusal: Callable[[str], BaseException] | None = None) -> None:
        """Refuse steps from now on, for the reason that was given first."""
        self._refusal = self._refusal or refusal or _outside_function
        self._is_guarded = True
        self.departure = None  # it holds the frames it left through, and they hold this run, and the event


def _outside_function(step_id: str) -> BaseException:
    return StepOutsideFunctionError(
        f"step {step_id!r} was used after its function had ended; await every step inside the function"
    )
