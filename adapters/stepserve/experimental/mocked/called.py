"""The function as the executor calls it; what JSON would not carry is kept on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stepserve_core import Event, Function, Inngest
from stepserve_core.errors import StepError
from stepserve_core.executor.answers import Reply
from stepserve_core.testing import (
    SDK_HEADER,
    AsyncRuntime,
    Call,
    Request,
    ServedCall,
    StepSubstitutes,
    SyncRuntime,
    encode_wire,
    to_wire,
)

URL = "http://test/api/inngest?fnId=test&stepId=step"

_RUN_ID = "test"
_WAITS = ("WaitForEvent", "WaitForSignal", "InvokeFunction")
_decode_call = msgspec.json.Decoder(Call).decode


class CalledFunction:
    """A transport that calls one function, in the colour that it has.

    The function sees its events as they were given, without ids, and a run that is called "test".
    """

    def __init__(
        self, fn: Function[Any], events: Sequence[Event], client: Inngest, stubs: StepSubstitutes, now: int
    ) -> None:
        self._fn = fn
        self._client = client
        self._stubs = stubs
        self.events = [msgspec.Raw(encode_wire({**one.wire(), "ts": one.ts or now})) for one in events]
        self._raised: dict[tuple[str, str], Exception] = {}
        """What steps raised, by name and message."""
        self.output: object = None
        """What the function returned, once it has; as it is, unless a serializer or middleware changes it."""
        self.error: Exception | None = None
        """What it raised in the last call."""
        if client.checker is not None:  # its arguments are compared within a run, and every one has this id
            client.checker.given.forget(_RUN_ID)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Call the function."""
        del headers, timeout
        step = url.rsplit("=", 1)[1]
        served = ServedCall(
            self._client,
            self._fn,
            Request(method, url, {}, b""),
            self._read(body),
            function_id=self._fn.id,
            target=None if step == "step" else step,
            runtime=AsyncRuntime() if self._fn.is_handler_async else SyncRuntime(),
            keep_outcome=True,
            substitutes=self._stubs,
        )
        answer = await served.answer()
        outcome = served.outcome
        self.error = None if outcome.error is None else self._original(outcome.error)
        for report in outcome.reports or ():
            if report.error is not None:
                self.note(report.error)
        if answer.status == 200:
            self.output = msgspec.json.decode(answer.body) if self._is_changed() else served.returned
        replied = _without_limits(answer.body) if answer.status == 206 else answer.body
        return Reply(answer.status, {SDK_HEADER: "test", **{k.lower(): v for k, v in answer.headers.items()}}, replied)

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def note(self, error: Exception) -> None:
        """Remember with what a step failed, or will."""
        wire = to_wire(error)
        self._raised[wire.name, wire.message] = error

    def _original(self, error: Exception) -> Exception:
        if isinstance(error, StepError):
            return self._raised.get((error.name, error.message), error)
        return error

    def _read(self, body: bytes) -> Call:
        call = _decode_call(body)
        call.event, call.events = self.events[0], self.events
        call.ctx = msgspec.structs.replace(call.ctx, run_id=_RUN_ID)
        return call

    def _is_changed(self) -> bool:
        is_serialized = self._client.serializer is not None and self._fn.output_type is not msgspec.UNSET
        return is_serialized or bool(self._client.middleware or self._fn.middleware)


def _without_limits(body: bytes) -> bytes:
    """Let sleeps be over, and waits be for anything: stubs say what comes.

    A server refuses those of more than a year, and conditions that it cannot read.
    """
    ops: list[dict[str, Any]] = msgspec.json.decode(body)
    for op in ops:
        if op["op"] == "Sleep":
            op.update(op="StepRun", data=None)
        elif op["op"] in _WAITS:
            op["opts"] = {**op["opts"], "timeout": "1h", "if": None}
    return msgspec.json.encode(ops)
