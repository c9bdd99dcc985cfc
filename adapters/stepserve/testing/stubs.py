"""Stubs: what comes of steps in place of what they would do, by the ids that functions give them.

Steps whose code is in the app are stubbed where the SDK would call that code, so that retries, middleware and
serialization are those of production. What only a server does is stubbed where the executor would do it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import msgspec

from stepserve.testing.errors import StubError, UnstubbedStepError
from stepserve.testing.timeout import Timeout
from stepserve_core import Event, FetchResponse
from stepserve_core.executor import fragments
from stepserve_core.executor.caller import Caller
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.decisions import (
    AI_GATEWAY,
    Decision,
    FinishStep,
    GatewayStep,
    InvokeStep,
    SleepStep,
    StepRef,
    WaitSignalStep,
    WaitStep,
)
from stepserve_core.executor.gateway import KINDS, Problem
from stepserve_core.executor.gateway_messages import GatewayReply
from stepserve_core.testing import Found, encode_output, encode_wire, to_wire

_Waiting = InvokeStep | WaitStep | WaitSignalStep


class Stubs:
    """The stubs of a harness."""

    def __init__(self, *, network: bool) -> None:
        self._outcomes: dict[tuple[str | None, str], tuple[object, ...]] = {}
        self._uses: Counter[tuple[str, str]] = Counter()
        self._names: dict[tuple[str, str], str] = {}
        self._network = network
        self.problem: Exception | None = None
        """What a test shall learn of although it happened while a function was called."""

    def add(self, step_id: str, outcomes: tuple[object, ...], function_id: str | None) -> None:
        """Note what comes of a step.

        Raises:
            StubError: nothing was given.
        """
        if not outcomes:
            raise StubError(f"h.stub({step_id!r}, …) needs what comes of the step: a value, an exception or a callable")
        self._outcomes[function_id, step_id] = outcomes

    def remove(self, step_id: str, function_id: str | None) -> None:
        """Let a step do again what it does."""
        self._outcomes.pop((function_id, step_id), None)

    def substitute(self, function_id: str, run_id: str, found: Found) -> Any:
        """Return what is called in place of the handler of a step, if it is stubbed."""
        if not self._outcomes or not self.has(function_id, found.step_id):
            return None
        outcome = self._next(function_id, found.step_id, run_id, found.hashed)

        def stub(*args: object) -> Any:
            return _come_out(outcome, *args)

        return stub

    async def decide(self, caller: Caller, item: Claim) -> list[Decision]:
        """Carry out an item; what stubs stand for is not asked of anybody."""
        if item.work.kind in KINDS and item.run.step_count >= 0:
            reply = self._reply(item)
            if reply is not None:
                return caller.plan_gateway(item, reply)
        decisions = await caller.decide(item)
        if not self._outcomes and not any(isinstance(one, GatewayStep) for one in decisions):
            return decisions
        return [self._replaced(item, one) for one in decisions]

    def _replaced(self, item: Claim, decision: Decision) -> Decision:
        if isinstance(decision, GatewayStep):
            self._names[item.run.id, decision.step.hash] = decision.step.name
        if not isinstance(decision, (InvokeStep, WaitStep, WaitSignalStep, SleepStep)):
            return decision
        slug, step = item.function.slug, decision.step
        if not self.has(slug, step.name):
            return decision
        if isinstance(decision, SleepStep):
            self.problem = StubError(f"step {step.name!r} sleeps: move the clock on (h.clock.advance) and stub nothing")
            return decision
        outcome = self._next(slug, step.name, item.run.id, step.hash)
        try:
            return _finished(decision, step, _come_out(outcome, *_arguments(decision)))
        except StubError as error:
            self.problem = error
            return decision
        except Exception as error:  # of the stub: that is how the step fails
            memo = fragments.encode({"error": msgspec.to_builtins(to_wire(error))})
            return FinishStep(step, memo, failed=True)

    def _reply(self, item: Claim) -> GatewayReply | Problem | None:
        """Return what comes of the request of a gateway step; None where it is really made."""
        hashed = item.work.step or ""
        name = self._names.get((item.run.id, hashed), hashed)
        options = msgspec.json.decode(item.payload or b"{}")
        if not self.has(item.function.slug, name):
            if self._network:
                return None
            message = (
                f"step {name!r} would send a request to {options.get('url')}; say what comes of it: h.stub({name!r}, …)"
            )
            self.problem = UnstubbedStepError(message)
            return Problem(message, retriable=False)
        outcome = self._next(item.function.slug, name, item.run.id, hashed)
        is_ai = item.work.kind == AI_GATEWAY
        try:
            value = _come_out(outcome, options.get("body") if is_ai else options)
        except Exception as error:
            return Problem(str(error) or type(error).__name__)
        return _gateway_reply(value, str(options.get("url")), f"the stub of step {name!r}")

    def has(self, function_id: str, step_id: str) -> bool:
        """Say whether a step is stubbed."""
        return (function_id, step_id) in self._outcomes or (None, step_id) in self._outcomes

    def _next(self, function_id: str, step_id: str, run_id: str, hashed: str) -> object:
        """Return the outcome of this attempt of a step; the last one stays for all further attempts."""
        outcomes = self._outcomes.get((function_id, step_id)) or self._outcomes[None, step_id]
        attempt = self._uses[run_id, hashed]
        self._uses[run_id, hashed] += 1
        return outcomes[min(attempt, len(outcomes) - 1)]


def _come_out(outcome: object, *args: object) -> Any:
    if outcome is Timeout:
        return None
    if isinstance(outcome, BaseException):
        raise outcome.with_traceback(None)
    if isinstance(outcome, type) and issubclass(outcome, BaseException):
        raise outcome
    if inspect.isroutine(outcome) or (callable(outcome) and not isinstance(outcome, type) and _is_plain(outcome)):
        return outcome(*args)
    return outcome


def _is_plain(value: object) -> bool:
    """Say whether a callable object is there to be called: a mock, a partial, and no model that happens to be one."""
    return not hasattr(value, "model_dump") or type(value).__module__ == "unittest.mock"


def _arguments(decision: _Waiting) -> tuple[object, ...]:
    return (decision.payload.get("data"),) if isinstance(decision, InvokeStep) else ()


def _finished(decision: _Waiting, step: StepRef, value: Any) -> FinishStep:
    where = f"the stub of step {step.name!r}"
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise StubError(f"{where} is async; what the server does is stubbed with a value or a def function")
    if isinstance(decision, InvokeStep):
        return FinishStep(step, b'{"data":%s}' % encode_output(value, where))
    if value is None:
        return FinishStep(step, b"null")
    if isinstance(decision, WaitSignalStep):
        signal = {"signal": decision.signal, "data": msgspec.Raw(encode_output(value, where))}
        return FinishStep(step, b'{"data":%s}' % msgspec.json.encode(signal))
    return FinishStep(step, _event_memo(decision.event_name, value, where))


def _event_memo(name: str, value: object, where: str) -> bytes:
    if isinstance(value, Event):
        return encode_wire(value.wire())
    if isinstance(value, dict) and isinstance(value.get("name"), str) and ("data" in value or value == {"name": name}):
        return encode_output(value, where)
    return encode_wire({"name": name, "data": msgspec.Raw(encode_output(value, where)), "id": "", "ts": 0})


def _gateway_reply(value: Any, url: str, where: str) -> GatewayReply:
    if isinstance(value, FetchResponse):
        return GatewayReply(value.url or url, value.status_code, value.headers, value.body.encode())
    if isinstance(value, str):
        return GatewayReply(url, 200, {"content-type": "text/plain; charset=utf-8"}, value.encode())
    return GatewayReply(url, 200, {"content-type": "application/json"}, encode_output(value, where))
