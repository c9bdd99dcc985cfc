"""What a function gave, on its way to the answer: from types to JSON, then through middleware (protocol.md 9.2)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stepserve_core._answer import Outcome
from stepserve_core._checkpoints import Prepared
from stepserve_core._converter import Converter
from stepserve_core._found import Report
from stepserve_core._memos import Memo
from stepserve_core._middleware import MiddlewareManager, StepMemos
from stepserve_core._opcodes import Op, Opcode
from stepserve_core._outputs import converter_of_function
from stepserve_core._serialize import UNSET, encode_output
from stepserve_core._transformed_output import TransformOutputResult, TransformOutputStepInfo

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._context import Context, ContextSync
    from stepserve_core._function import Function

T = TypeVar("T")


async def timed(timing: list[str], name: str, work: Awaitable[T]) -> T:
    """Await something, and note in `timing` how long it took."""
    started = time.perf_counter()
    try:
        return await work
    finally:
        timing.append(f"{name};dur={int((time.perf_counter() - started) * 1000)}")


class Outgoing:
    """Takes the outcomes of one call through types and middleware.

    Args:
        companion: the handler of failures or cancellations that is called instead of the function's own.
        last_attempt: an error of a step is final now.
    """

    def __init__(
        self,
        client: Inngest,
        function: Function[Any],
        companion: Callable[..., Any] | None,
        timing: list[str],
        *,
        last_attempt: bool,
    ) -> None:
        self._client = client
        self._function = function
        self._companion = companion
        self._timing = timing
        self.last_attempt = last_attempt
        self.middleware: MiddlewareManager | None = None
        self.context: Context | ContextSync | None = None

    def dump(self, outcome: Outcome) -> Outcome:
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
        return msgspec.structs.replace(
            outcome, output=self._to_json(converter, outcome.output, f"function {function.local_id!r}")
        )

    def _to_json(self, converter: Converter, output: object, where: str) -> object:
        dumped = converter.dump(output, where)
        if self.middleware is not None and self.middleware.uses("transform_output"):
            return msgspec.json.decode(encode_output(dumped, where))
        return dumped

    async def prepare(self, report: Report) -> Prepared | Outcome:
        """Take a step that will be checkpointed through types and middleware, as if it were the answer.

        Return how the call ends, where that makes an error of it.
        """
        where = f"step {report.op.display_name!r}"
        try:
            self.dump(Outcome(reports=[report]))
            if self.middleware is None:
                data = encode_output(report.output, where)
                return Prepared(data, msgspec.json.decode(data))
            before = encode_output(report.output, where)
            outcome = await self.transform(Outcome(reports=[report]), ())
            if outcome.reports is None or report.error is not None:
                return outcome
            data = encode_output(report.output, where)
            value = msgspec.json.decode(data)
            return Prepared(data, value if data == before else await self._restore(report, value))
        except Exception as error:  # of a hook, or of an output that JSON cannot carry
            return Outcome(error=error)

    async def _restore(self, report: Report, value: object) -> object:
        """Return an output that middleware has changed, as that middleware gives it back at every replay."""
        assert self.middleware is not None
        memo = Memo(value)
        hook = "transform_input", self.context, self._function, StepMemos({report.op.id: memo})
        await self.middleware.run_where("transform_output", *hook)
        return memo.data

    async def transform(self, outcome: Outcome, deferred: Sequence[Op]) -> Outcome:
        """Let middleware see and change an outcome. `deferred` are the ops that go out besides."""
        assert self.middleware is not None
        if outcome.error is None:
            try:
                await self.middleware.run_reversed("after_execution")
                await self._announce(outcome.reports or [], deferred)
            except Exception as error:  # whoever reports errors from `transform_output` learns of it there
                outcome = Outcome(error=error)
        if outcome.reports is None:
            result = TransformOutputResult(outcome.error, outcome.output, None)
            await self._transform_output(result)
            output = None if result.output is UNSET else result.output  # middleware took the error away
            return Outcome(error=result.error, output=output)
        if len(outcome.reports) == 1:
            report = outcome.reports[0]
            result = TransformOutputResult(report.error, report.output, _step_info(report))
            await self._transform_output(result)
            report.error, report.output, report.op.opts = result.error, result.output, report.opts
            self._match_opcode(report.op, failed=report.error is not None)
        return outcome

    async def _announce(self, reports: list[Report], deferred: Sequence[Op]) -> None:
        assert self.middleware is not None
        if (reports or deferred) and self.middleware.uses("before_report"):
            steps = [_step_info(report) for report in reports]
            steps += [
                TransformOutputStepInfo(op.display_name, Opcode(op.op), op.opts if isinstance(op.opts, dict) else None)
                for op in deferred
            ]
            await self.middleware.run_reversed("before_report", steps)

    async def _transform_output(self, result: TransformOutputResult) -> None:
        assert self.middleware is not None
        await timed(self._timing, "mw.transform_output", self.middleware.run_reversed("transform_output", result))

    def _match_opcode(self, op: Op, *, failed: bool) -> None:
        """Let the opcode say what became of a step after middleware gave it an error, or took its error away."""
        if failed and op.op == Opcode.STEP_RUN.value:
            op.op = (Opcode.STEP_FAILED if self.last_attempt else Opcode.STEP_ERROR).value
        elif not failed and op.op in (Opcode.STEP_ERROR.value, Opcode.STEP_FAILED.value):
            op.op = Opcode.STEP_RUN.value


def _step_info(report: Report) -> TransformOutputStepInfo:
    return TransformOutputStepInfo(report.op.display_name, Opcode(report.op.op), report.opts)
