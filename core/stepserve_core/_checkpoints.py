"""Going on after a step: the strategy of the engine that saves steps while the function runs (protocol.md 13.1).

Without it, every executed step is an answer of its own. With it, `keep` gives the function what a replay would give
it, and sends the steps to the server: each before the next begins, or in batches beside the function. Whatever cannot
be saved goes out with the answer, as it would have without; so nothing is lost, and nothing executed twice for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core._answer import Outcome
from stepserve_core._checkpoint_api import CallReference, CheckpointAPI, CheckpointFailedError
from stepserve_core._checkpointing import Checkpointing
from stepserve_core._colour import LEAVE
from stepserve_core._found import Report
from stepserve_core._in_process import serving
from stepserve_core._opcodes import Op, Opcode, Timing
from stepserve_core._protocol import GENERATION_ID, NO_CHECKPOINTS, REQUEST_ID, Call, Request
from stepserve_core._runtime import Runtime
from stepserve_core.errors import StaleDispatchError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

LARGEST_BATCH = 256 * 1024
"""Bytes of outputs that wait together at most; a larger one is saved at once. What waits must fit into an answer."""

LARGEST_REST = 64 * 1024
"""Bytes of outputs that may go out with the result of the function, instead of being saved before."""


class Prepared(msgspec.Struct, frozen=True):
    """A step after types and middleware: its output as JSON, and as the function shall see it."""

    data: bytes
    value: object


Prepare = Callable[[Report], Awaitable[Prepared | Outcome]]
"""Gives what a step is saved as; or, if middleware or JSON made an error of it, how the call ends."""


class Checkpoints:
    """The steps of one call that were executed and have to be saved.

    Args:
        attempt: of the call. After the first one, a step is answered at once: only that makes the next attempts anew.
    """

    def __init__(
        self, api: CheckpointAPI, call: CallReference | None, settings: Checkpointing, runtime: Runtime, *, attempt: int
    ) -> None:
        self._api = api
        self._call = call
        self._size = settings.batch_steps
        self._interval = settings.interval_seconds
        self._runtime = runtime
        self._attempt = attempt
        limit = settings.runtime_seconds
        self._ends_at = None if limit is None else time.monotonic() + limit
        self.prepare: Prepare | None = None
        self.ending: Outcome | None = None
        """How the call ends, where a step has decided it; middleware has seen it."""
        # Timers of sync functions run in threads of their own.
        self._lock = threading.RLock()
        self._waiting: list[Op] = []
        self._bytes = 0
        self._sending: list[Op] = []
        self._flight: Any = None
        self._timer: Any = None
        self._is_ending = False
        self._has_kept = False
        self._failure: CheckpointFailedError | None = None

    def is_over(self) -> bool:
        """Say whether the next step has to be left to another call.

        The first one never has: another call would take as long to reach it. And after a failed attempt, another call
        would count attempts anew.
        """
        return self._has_kept and self._ends_at is not None and time.monotonic() >= self._ends_at

    @property
    def unsaved(self) -> list[Op]:
        """The steps that the server does not know, as far as we know."""
        return [*self._sending, *self._waiting]

    async def keep(self, report: Report, began: int) -> object:
        """Take a step that was executed since `began` (Unix nanoseconds); return what the function shall see of it.

        Return LEAVE if the function must be left, to answer with the step.
        """
        if self._attempt or self._failure is not None:
            return LEAVE
        timing = Timing(began, time.time_ns() - began)
        assert self.prepare is not None
        prepared = await self.prepare(report)
        if isinstance(prepared, Outcome):
            self.ending = prepared
            return LEAVE
        self._has_kept = True
        report.op.data, report.op.timing = msgspec.Raw(prepared.data), timing
        is_large = len(prepared.data) > LARGEST_BATCH
        if is_large:
            await self._flush(waits=True)
        self._add(report.op, len(prepared.data))
        if is_large or len(self._waiting) >= self._size or self._bytes > LARGEST_BATCH:
            await self._flush(waits=is_large or self._size == 1)
        # What could not be saved is among the unsaved steps, which is what the answer will be.
        self.ending = Outcome(reports=[]) if self._failure is not None else None
        return LEAVE if self._failure is not None else prepared.value

    def _add(self, op: Op, size: int) -> None:
        with self._lock:
            self._waiting.append(op)
            self._bytes += size
            if self._interval is not None and self._size > 1 and self._timer is None:
                self._start_timer()

    async def _flush(self, *, waits: bool) -> None:
        """Send what waits, after what is being sent."""
        await self._land()
        if self._failure is not None or not self._take_off(begin=not waits):
            return
        if waits:
            await self._runtime.complete(self._send)

    def _take_off(self, *, begin: bool) -> bool:
        """Take what waits as what is being sent next, and begin to send it. Return False where nothing waits."""
        with self._lock:
            if not self._waiting or self._sending:
                return False
            self._sending, self._waiting, self._bytes = self._waiting, [], 0
            self._drop_timer()
            if begin:
                self._flight = self._runtime.begin(self._send)
        return True

    async def _land(self) -> None:
        """Wait for what is being sent."""
        flight = self._flight
        if flight is not None:
            await self._runtime.join(flight)
            with self._lock:
                if self._flight is flight:  # and not one that a timer has begun meanwhile
                    self._flight = None

    async def _send(self, runtime: Runtime) -> None:
        try:
            await self._api.save(runtime, self._call, self._sending)
        except CheckpointFailedError as failure:
            self._failure = failure
        else:
            self._sending = []

    def _interval_over(self) -> None:
        with self._lock:
            self._timer = None
            if self._is_ending or self._failure is not None or not self._waiting:
                return
            if self._sending:  # still
                self._start_timer()
            else:
                self._take_off(begin=True)

    def _start_timer(self) -> None:
        assert self._interval is not None
        self._timer = self._runtime.later(self._interval, self._interval_over)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def end(self, outcome: Outcome) -> Outcome:
        """Save what is left, before the function's own outcome is answered; return the outcome to answer.

        A result takes a small rest with it. Anything else waits until the steps before it are saved; see
        `without_unsaved` for what happens if that fails.
        """
        self._end_timers()
        await self._land()
        has_result = outcome.reports is None and outcome.error is None and self.ending is None
        if self._failure is None and not (has_result and self._bytes <= LARGEST_REST):
            await self._flush(waits=True)
        self.close()
        if self._failure is not None and self._failure.is_stale:
            self._sending, self._waiting = [], []
            self.ending = Outcome(error=StaleDispatchError("the server has given this call up: another one goes on"))
        return outcome if self.ending is None else self.ending

    @property
    def failure(self) -> CheckpointFailedError | None:
        """Why steps could not be saved."""
        return self._failure

    def _end_timers(self) -> None:
        with self._lock:  # one that waits for it by now begins nothing
            self._is_ending = True
            self._drop_timer()

    def close(self) -> None:
        """Begin nothing any more."""
        self._end_timers()
        flight, self._flight = self._flight, None
        if flight is not None:  # only if the call was cancelled
            flight.cancel()


def make_checkpoints(
    client: Inngest, function: Function[Any], request: Request, call: Call, target: str | None, runtime: Runtime
) -> Checkpoints | None:
    """Return what saves the steps of a call; None where each is an answer (13.1, preconditions)."""
    server = serving.get()
    settings = function.checkpointing if server is None else server.checkpointing
    ctx, header = call.ctx, request.headers.get
    if settings is None or target is not None or ctx.disable_immediate_execution or not (ctx.fn_id and ctx.qi_id):
        return None
    if not client.checkpoint_api.is_available or header(NO_CHECKPOINTS):
        return None
    generation = ctx.generation_id or _number(header(GENERATION_ID) or "")
    request_id = ctx.request_id or header(REQUEST_ID) or ""
    reference = CallReference(ctx.run_id, ctx.fn_id, ctx.qi_id, request_id, generation, int(time.time() * 1000))
    return Checkpoints(client.checkpoint_api, reference, settings, runtime, attempt=ctx.attempt)


def _number(text: str) -> int:
    """Return the number of a header; 0, which stands for whichever it is, where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def without_unsaved(outcome: Outcome, unsaved: Sequence[Op]) -> Outcome:
    """Return what may go out together with steps that could not be saved: results, and other steps that were executed.

    An error, or a step that is yet to come, would be taken for the next thing after what the server knows. It is left
    out: the server saves the steps, calls again, and gets it then.
    """
    if not unsaved or (outcome.error is None and outcome.reports is None):
        return outcome
    done = Opcode.STEP_RUN.value
    return Outcome(reports=[one for one in outcome.reports or () if one.error is None and one.op.op == done])
