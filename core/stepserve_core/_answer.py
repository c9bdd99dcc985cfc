"""From how a function ended to the answer: status, body, headers (protocol.md 5.5 to 5.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core import _durations, _failure, _protocol
from stepserve_core._found import Report
from stepserve_core._opcodes import Op, Opcode, Userland, hash_step_id
from stepserve_core._protocol import CallContext
from stepserve_core._serialize import UNSET, encode_given, encode_output, encode_wire
from stepserve_core.errors import RetryAfterError, is_quiet, is_retriable

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function


class Answer(msgspec.Struct, frozen=True):
    """What the handler sends: it adds the headers that every answer has."""

    status: int
    body: bytes
    headers: dict[str, str]
    timing: Sequence[str] = ()
    """Entries for the `server-timing` header."""


class Outcome(msgspec.Struct, frozen=True):
    """How the function ended: with reports, with an error, or with an output."""

    reports: list[Report] | None = None
    error: Exception | None = None
    output: object = UNSET


class Renderer:
    """Writes the answers of one call, and logs the errors in them."""

    def __init__(self, client: Inngest, function: Function[Any], ctx: CallContext) -> None:
        self._client = client
        self._function = function
        self._ctx = ctx

    def render(self, outcome: Outcome, lazy: Sequence[Op] = (), unsaved: Sequence[Op] = ()) -> Answer:
        """Return the answer to how the function ended. `lazy` ops go out with it, unless it is an error.

        `unsaved` are steps that were executed before and could not be checkpointed, or need not be; they come first.

        Raises:
            OutputUnserializableError: JSON cannot carry an output; the message says whose, and where in it.
        """
        if outcome.reports is not None:
            return self._render_reports(outcome.reports, lazy, unsaved)
        if outcome.error is not None:
            return self.render_error(outcome.error)
        output = encode_output(outcome.output, f"function {self._function.local_id!r}")
        if not lazy and not unsaved:
            return Answer(200, output, {})
        return Answer(206, encode_wire([*unsaved, *lazy, _run_complete(output)]), {})

    def _render_reports(self, reports: list[Report], lazy: Sequence[Op], unsaved: Sequence[Op]) -> Answer:
        headers: dict[str, str] = {}
        ops = list(unsaved)
        for report in reports:
            op = report.op
            if report.error is not None:
                op.error = _failure.to_wire(report.error)
                if not is_retriable(report.error):
                    headers[_protocol.NO_RETRY] = "true"
                self._log(f"step {op.display_name!r} of function", report.error)
            elif op.op == Opcode.STEP_RUN.value:
                op.data = msgspec.Raw(encode_output(report.output, f"step {op.display_name!r}"))
            elif op.opts:
                op.opts = msgspec.Raw(encode_given(op.opts, f"the data given to step {op.display_name!r}"))
            ops.append(op)
        return Answer(206, encode_wire([*ops, *lazy]), headers)

    def render_error(self, error: Exception) -> Answer:
        """Return the answer to an error of the function as a whole (5.5, 5.8)."""
        headers: dict[str, str] = {}
        if not is_retriable(error):
            headers[_protocol.NO_RETRY] = "true"
        if isinstance(error, RetryAfterError):
            headers[_protocol.RETRY_AFTER] = _durations.to_iso(error.retry_after)
        self._log("function", error)
        return Answer(500, encode_wire(_failure.to_wire(error)), headers)

    def _log(self, what: str, error: Exception) -> None:
        if not is_quiet(error):
            self._client.logger.error(
                "%s %s failed (run %s, attempt %s): %s: %s",
                what,
                self._function.id,
                self._ctx.run_id,
                self._ctx.attempt,
                type(error).__name__,
                error,
                exc_info=error,
            )


def _run_complete(output: bytes) -> Op:
    """Return the op that ends the run: what a 200 does where other ops have to be told too (5.6)."""
    name = "complete"  # so that the id is that of other SDKs (6.1)
    opcode = Opcode.RUN_COMPLETE.value
    op = Op(display_name=name, id=hash_step_id(name), name=name, op=opcode, opts=None, userland=Userland(name, None))
    op.data = msgspec.Raw(output)
    return op
