"""Letting faults happen to the calls of functions: they are lost, doubled, delayed and damaged as `Faults` says."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar

import msgspec

from stepserve_core._protocol import CHANGED_ARGUMENTS, NO_CHECKPOINTS, SIGNATURE
from stepserve_core._signature import sign
from stepserve_core.executor import gateway
from stepserve_core.executor.answers import Reply, open_envelope
from stepserve_core.executor.caller import Caller, Decide
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.decisions import Decision, EndRun, ParkItem, WaitStep
from stepserve_core.executor.fault_report import FaultReport
from stepserve_core.executor.in_process import clock_offset
from stepserve_core.executor.transport import EmbeddedTransport, Transport
from stepserve_core.faults import Fault, Faults

_MOST_RUNS = 10_000
"""Runs that are remembered; those that were cancelled are never forgotten otherwise."""


class _Damage:
    """What is to be wrong with the request of a call, and what the app said to it."""

    def __init__(self, kind: str, offset: float) -> None:
        self.kind = kind
        self.offset = offset
        self.is_applied = False
        self.is_refused = False


_damage: ContextVar[_Damage | None] = ContextVar("stepserve_damage", default=None)
_changed_arguments: ContextVar[dict[str, str] | None] = ContextVar("stepserve_changed_arguments", default=None)
"""What the app says about the arguments of steps in its answer to this call."""


class _RunSoFar(msgspec.Struct):
    """What happened to the calls of a run: their numbers, how often each was delivered, and answers to come."""

    number: int
    calls: dict[str, int] = {}
    deliveries: Counter[str] = msgspec.field(default_factory=Counter[str])
    late: dict[str, list[Decision]] = {}


class FaultInjector:
    """Carries out items in place of `Caller.decide`, and lets faults happen to those that call functions."""

    def __init__(self, faults: Faults) -> None:
        self.report = FaultReport(faults)
        self._faults = faults
        self._runs: OrderedDict[str, _RunSoFar] = OrderedDict()
        self._started = 0
        self._kinds = {
            "kill_between_steps": self._kill,
            "duplicate_delivery": self._duplicate,
            "reorder": self._reorder,
            "late_answer": self._delay,
            "drop_answer": self._drop,
            "clock_skew": self._damage,
            "corrupt_body": self._damage,
        }

    def around(self, caller: Caller) -> Decide:
        """Return what carries out items, for `Executor(around=…)`."""
        self.attach(caller)
        return functools.partial(self.decide, caller, caller.decide)

    def attach(self, caller: Caller) -> None:
        """Let the requests of a caller be damaged where a fault says so."""
        key, replays = caller.signing_key, self._faults.always_replay
        caller.send_through(lambda transport: _FaultyTransport(transport, key, always_replay=replays))

    async def decide(self, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        """Carry out an item with `ask`, and let happen what is to happen to it."""
        if item.work.kind in gateway.KINDS:
            return await ask(item)
        run = self._run(item.run.id)
        late = run.late.pop(item.work.id, None)
        decisions = await self._deliver(run, caller, ask, item) if late is None else late
        if any(isinstance(one, EndRun) for one in decisions):
            self._runs.pop(item.run.id, None)
        return decisions

    async def _deliver(self, run: _RunSoFar, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        call = run.calls.setdefault(item.work.id, len(run.calls))
        fault = self._faults.choose(run.number, call, run.deliveries[item.work.id])
        run.deliveries[item.work.id] += 1
        if fault is None:
            return await self._ask(ask, item)
        return await self._kinds[fault.kind](fault, caller, ask, item)

    def _run(self, run_id: str) -> _RunSoFar:
        if run_id not in self._runs:
            self._runs[run_id] = _RunSoFar(self._started)
            self._started += 1
            if len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return self._runs[run_id]

    async def _ask(self, ask: Decide, item: Claim, damage: _Damage | None = None) -> list[Decision]:
        changed: dict[str, str] = {}
        tokens = _damage.set(damage), _changed_arguments.set(changed)
        try:
            decisions = await ask(item)
        finally:
            _damage.reset(tokens[0])
            _changed_arguments.reset(tokens[1])
        if damage is None or not damage.is_refused:
            self.report.note(item, decisions, changed)
        return decisions

    async def _kill(self, fault: Fault, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        return await self._lose(fault, caller, ask, item, 0.0)

    async def _drop(self, fault: Fault, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        return await self._lose(fault, caller, ask, item, None)

    async def _lose(
        self, fault: Fault, caller: Caller, ask: Decide, item: Claim, delay: float | None
    ) -> list[Decision]:
        decisions = await self._ask(ask, item)
        if _found_no_app(decisions):
            return decisions
        self.report.injected[fault.kind] += 1
        return [caller.put_back(item, delay)]

    async def _duplicate(self, fault: Fault, _: Caller, ask: Decide, item: Claim) -> list[Decision]:
        self.report.injected[fault.kind] += 1
        if fault.draw < 0.5:
            answers = list(await asyncio.gather(self._ask(ask, item), self._ask(ask, item)))
        else:
            answers = [await self._ask(ask, item), await self._ask(ask, item)]
        # Only the first of two knows of the steps that were saved on the way.
        return answers[int(fault.draw * 4) % 2 if self._faults.always_replay else 0]

    async def _reorder(self, fault: Fault, caller: Caller, _ask: Decide, item: Claim) -> list[Decision]:
        self.report.injected[fault.kind] += 1
        return [caller.put_back(item, 0.0)]  # what was claimed with it is ahead of it now

    async def _delay(self, fault: Fault, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        decisions = await self._ask(ask, item)
        if _found_no_app(decisions):
            return decisions
        self.report.injected[fault.kind] += 1
        # The answer waits in the queue and not here: only so can it wait in virtual time. Events that come meanwhile
        # count for the waits that it opens.
        self._run(item.run.id).late[item.work.id] = [
            msgspec.structs.replace(one, since=item.work.event_mark) if isinstance(one, WaitStep) else one
            for one in decisions
        ]
        return [caller.put_back(item, self._faults.late_seconds)]

    async def _damage(self, fault: Fault, caller: Caller, ask: Decide, item: Claim) -> list[Decision]:
        offset = self._faults.skew_seconds if fault.draw < 0.5 else -self._faults.skew_seconds
        damage = _Damage(fault.kind, offset)
        decisions = await self._ask(ask, item, damage)
        if damage.is_applied:
            self.report.injected[fault.kind] += 1
        elif fault.kind == "clock_skew" and not _found_no_app(decisions):
            self.report.without_effect += 1
        return [caller.put_back(item, None)] if damage.is_refused else decisions


def _found_no_app(decisions: list[Decision]) -> bool:
    """Say whether the call was not made, so that there is no answer to lose."""
    return any(isinstance(one, ParkItem) for one in decisions)


def _read_changed_arguments(reply: Reply) -> dict[str, str]:
    """Return what an answer says about arguments, by step; apps of other SDKs say nothing."""
    opened = open_envelope(reply) if reply.status == 201 else reply
    try:
        return dict(msgspec.json.decode(opened.headers.get(CHANGED_ARGUMENTS, "[]"), type=list[tuple[str, str]]))
    except msgspec.DecodeError:
        return {}


class _FaultyTransport:
    """Sends what another transport sends, damaged where a fault says so."""

    def __init__(self, transport: Transport, signing_key: str | None, *, always_replay: bool) -> None:
        self._transport = transport
        self._signing_key = signing_key
        self._always_replay = always_replay

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the answer, after a look at what it says about arguments of steps."""
        headers = {**headers, CHANGED_ARGUMENTS: "true"}
        if self._always_replay:
            headers[NO_CHECKPOINTS] = "true"
        reply = await self._send(method, url, headers, body, timeout)
        changed = _changed_arguments.get()
        if changed is not None:
            changed |= _read_changed_arguments(reply)
        return reply

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        damage = _damage.get()
        if damage is None:
            return await self._transport.send(method, url, headers, body, timeout)
        if damage.kind == "corrupt_body":
            damage.is_applied = True
            reply = await self._transport.send(method, url, headers, body[: len(body) // 2], timeout)
            damage.is_refused = not 200 <= reply.status < 300
            return reply
        return await self._send_skewed(damage, method, url, headers, body, timeout)

    async def _send_skewed(
        self, damage: _Damage, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        signature = headers.get(SIGNATURE)
        if self._signing_key is not None and signature is not None:
            signed_at = int(signature.removeprefix("t=").partition("&")[0])
            headers = {**headers, SIGNATURE: sign(body, self._signing_key, signed_at + int(damage.offset))}
        damage.is_applied = signature is not None or isinstance(self._transport, EmbeddedTransport)
        token = clock_offset.set(damage.offset)
        try:
            reply = await self._transport.send(method, url, headers, body, timeout)
        finally:
            clock_offset.reset(token)
        damage.is_refused = reply.status == 401
        return reply

    async def close(self) -> None:
        """Close the other one."""
        await self._transport.close()
