"""What a client hears of a durable endpoint that it listens to: server-sent events (protocol.md 13.3 item 5).

`inngest.stream` carries what the route pushes. What a step pushed is final after an `inngest.commit` of the step, and
void after an `inngest.rollback`: the step will be executed again. The same holds for what was pushed outside of steps,
where the step is null. `inngest.response` comes last; without one, it goes on where `inngest.redirect_info` says, which
is sent as soon as the server knows the run: whoever loses the connection can go on there too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core._endpoint_answer import Plain
from stepserve_core._engine import executing_step
from stepserve_core._pipe import Pipe
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import as_given, encode_output, encode_wire
from stepserve_core.errors import EndpointUnsupportedError, OutputUnserializableError

if TYPE_CHECKING:
    from stepserve_core._engine import Run

EVENT_STREAM = "text/event-stream"

LARGEST_PIECE = 256 * 1024
"""Bytes of JSON that one push may have."""


class EndpointEvents:
    """What one call of a route tells its client.

    Args:
        pipe: where it goes.
        goes_on: the run was begun by another call. That one may have died, and what it pushed is void then: the first
            push of each step says so.
    """

    def __init__(self, pipe: Pipe, *, goes_on: bool = False) -> None:
        self.pipe = pipe
        self.run: Run | None = None
        """What knows whether the code outside of steps was executed before."""
        self.has_ended = False
        self._is_redirected = False
        self._goes_on = goes_on
        self._pushed: set[str | None] = set()
        # In the order in which they began.
        self._pending: dict[str | None, None] = {}

    async def push(self, runtime: Runtime, data: bytes) -> None:
        """Send JSON, when there is room for it; not if code outside of steps is only replayed."""
        step = _pushing_step()
        if not self._is_replayed(step):
            await self.pipe.make_room(runtime)
            self._put(step, data)

    def push_at_once(self, data: bytes) -> None:
        """Send JSON from where nobody can wait."""
        step = _pushing_step()
        if not self._is_replayed(step):
            self._put(step, data)

    def _is_replayed(self, step: str | None) -> bool:
        return step is None and (self.run is None or self.run.is_repeating)

    def _put(self, step: str | None, data: bytes) -> None:
        if self._goes_on and step not in self._pushed:
            self._send("inngest.rollback", {"hashedStepId": step})
        self._pushed.add(step)
        self._pending[step] = None
        fields: dict[str, Any] = {"data": msgspec.Raw(data)}
        if step is not None:
            fields["hashedStepId"] = step
        self._send("inngest.stream", fields)

    def begin(self, run_id: str) -> None:
        """Say which run it is."""
        self._send("inngest.metadata", {"runId": run_id})

    def commit(self, *steps: str | None) -> None:
        """Make what these steps pushed final; None stands for what was pushed outside of steps."""
        for step in steps:
            if step in self._pending:
                del self._pending[step]
                self._send("inngest.commit", {"hashedStepId": step})

    def roll_back(self) -> None:
        """Make void what is not final."""
        pending, self._pending = self._pending, {}
        for step in pending:
            self._send("inngest.rollback", {"hashedStepId": step})

    def settle(self, ops: Iterable[dict[str, Any]]) -> None:
        """Make final what these ops keep, and void what will be executed again.

        After a step that failed, so will the code be that led to it.
        """
        known = list(ops)
        failed = {op["id"] for op in known if op.get("error") is not None}
        self.commit(*([] if failed else [None]), *(op["id"] for op in known if op["id"] not in failed))
        self.roll_back()

    def respond(self, plain: Plain) -> None:
        """Say how the route answered, and end."""
        self.commit(None)
        self.roll_back()
        self._send("inngest.response", response_of(plain, failed=plain.status >= 500))  # as the run has
        self.end()

    def redirect(self, run_id: str, url: str) -> None:
        """Say, once, where it goes on if this ends without an answer: because it is deferred, or breaks off."""
        if not self._is_redirected:
            self._is_redirected = True
            self._send("inngest.redirect_info", {"runId": run_id, "url": url})

    def end(self) -> None:
        """Say nothing more."""
        self.has_ended = True
        self.pipe.close()

    def _send(self, name: str, data: dict[str, Any]) -> None:
        self.pipe.put(frame(name, data))


def _pushing_step() -> str | None:
    found = executing_step()
    return None if found is None else found.hashed


def frame(name: str, data: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode_wire(data))


def response_of(plain: Plain, *, failed: bool) -> dict[str, Any]:
    """Return the data of `inngest.response`. A body that is not text is in base64."""
    status = "failed" if failed else "succeeded"
    response: dict[str, Any] = {"statusCode": plain.status, "headers": plain.headers}
    try:
        response["body"] = plain.body.decode()
    except UnicodeDecodeError:
        response.update(body=base64.b64encode(plain.body).decode(), isBase64Encoded=True)
    return {"status": status, "response": response}


def encode_piece(data: object) -> bytes:
    """Return what is pushed as JSON.

    Raises:
        OutputUnserializableError: JSON cannot carry it.
        EndpointUnsupportedError: it is too large.
    """
    try:
        piece = encode_output(data, "what is streamed")
    except OutputUnserializableError as error:
        raise OutputUnserializableError(as_given(error)) from None
    if len(piece) > LARGEST_PIECE:
        raise EndpointUnsupportedError(f"a piece of a stream has up to {LARGEST_PIECE} bytes; push smaller ones")
    return piece


listening: ContextVar[EndpointEvents | None] = ContextVar("stepserve_listening", default=None)
"""Where the code of a route can tell its client something; None where nobody listens."""
