"""Whether a claimed item may go on now: limits of calls, throttles, limits of whole runs (executor.md 7.1 and 7.2).

An item that may not is parked until the first thing that holds it back has room again. Limits without a key are
looked at first, then the throttle, then limits with a key, then that of whole runs.

Limits bind as they are now: a run that was scheduled under others learns those that it knew nothing of when it is
looked at. So a new throttle or limit of whole runs holds for all runs that have not started, and a limit of calls for
every call that is not under way.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stepserve_core.executor import concurrency
from stepserve_core.executor.decisions import RunFacts
from stepserve_core.executor.flow import holds as held
from stepserve_core.executor.flow import throttle
from stepserve_core.executor.flow.holds import Holds, decode_holds, encode_holds
from stepserve_core.executor.flow.options import Flow
from stepserve_core.executor.flow.pausing import is_held_back, pause_key
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed

_NO_FLOW = Flow()


class _Gate(msgspec.Struct, frozen=True):
    """Something that holds an item back: a limit of how many hold `key` at once, or a throttle (limit -1)."""

    key: str
    limit: int


_THROTTLE = -1


def admit(scope: Scope, function: Function, item: Claimed, run: RunFacts) -> bool:
    """Let a claimed item go on and take its slots, or park it. Return whether it goes on."""
    # A start that is repeated, after a failure or a crash, was let through before and still holds the run's slot.
    starts = item.kind == "start" and not run.started
    if starts and is_held_back(function):
        scope.tables.slots.block(item.id, pause_key(function.id))
        return False
    keys, holds = _bind(scope, function, run, starts=starts)
    gates = list(_gates(function, keys, holds))
    for gate in gates:
        if not _is_open(scope, function, gate):
            _park(scope, function, item, gate, gates)
            return False
    _enter(scope, function, item, keys, holds)
    return True


def _bind(scope: Scope, function: Function, run: RunFacts, *, starts: bool) -> tuple[list[str], Holds]:
    """Return the keys that an item needs for the limits as they are now; the run remembers what is new to it."""
    keys = concurrency.decode_keys(run.slot_keys)
    holds = held.NOTHING if run.flow is None or not starts else decode_holds(run.flow)
    flow = function.flow or _NO_FLOW
    knows_flow = not starts or held.are_current(holds, function.id, flow)
    if knows_flow and concurrency.are_current(function, keys):
        return keys, holds
    event = scope.tables.events.at(run.event_seq)
    keys = concurrency.current_keys(function, event, keys)
    if not knows_flow:
        holds = held.current_holds(holds, function.id, flow, event)
    # Once a run has keys it keeps a list of them: calls that are under way may hold some.
    scope.tables.runs.learn_limits(run.id, concurrency.encode_keys(keys), encode_holds(holds) if starts else run.flow)
    return keys, holds


def _gates(function: Function, keys: list[str], holds: Holds) -> Iterator[_Gate]:
    pairs = list(zip(keys, concurrency.limits_of(function), strict=True))
    yield from (_Gate(key, limit.limit) for key, limit in pairs if not limit.key)
    if holds.throttle is not None:
        yield _Gate(holds.throttle, _THROTTLE)
    yield from (_Gate(key, limit.limit) for key, limit in pairs if limit.key)
    if holds.run_slot is not None and function.flow is not None and function.flow.run_limit is not None:
        yield _Gate(holds.run_slot, function.flow.run_limit.limit)


def _is_open(scope: Scope, function: Function, gate: _Gate) -> bool:
    if gate.limit != _THROTTLE:
        return scope.tables.slots.held(gate.key) < gate.limit
    assert function.flow is not None and function.flow.throttle is not None  # noqa: PT018 - _gates looked at both
    return throttle.has_room(scope, function.flow.throttle, gate.key)


def _park(scope: Scope, function: Function, item: Claimed, closed: _Gate, gates: list[_Gate]) -> None:
    slots = scope.tables.slots
    slots.block(item.id, closed.key)
    if closed.limit == _THROTTLE and function.flow is not None and function.flow.throttle is not None:
        throttle.watch(scope, function.id, function.flow.throttle, closed.key)
    # The place that this item would have taken at the other gates is somebody else's now.
    for gate in gates:
        if gate.key != closed.key:
            slots.unblock(gate.key)


def _enter(scope: Scope, function: Function, item: Claimed, keys: list[str], holds: Holds) -> None:
    scope.tables.slots.take(item.id, keys)
    if holds.throttle is not None and function.flow is not None and function.flow.throttle is not None:
        throttle.count_start(scope, function.flow.throttle, holds.throttle)
    if holds.run_slot is not None:
        scope.tables.slots.take(f"{item.run_id}:run", [holds.run_slot])
