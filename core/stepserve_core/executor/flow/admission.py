"""Whether a claimed item may go on now: limits of calls, throttles, limits of whole runs (executor.md 7.1 and 7.2).

An item that may not is parked until the first thing that holds it back has room again. Limits without a key are
looked at first, then the throttle, then limits with a key, then that of whole runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stepserve_core.executor.concurrency import key_of
from stepserve_core.executor.decisions import RunFacts
from stepserve_core.executor.flow import throttle
from stepserve_core.executor.flow.holds import Holds, decode_holds, is_slot_of
from stepserve_core.executor.flow.pausing import is_held_back, pause_key
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import Claimed

_NO_HOLDS = Holds()
_decode_keys = msgspec.json.Decoder(list[str]).decode


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
    holds = _NO_HOLDS if run.flow is None or not starts else decode_holds(run.flow)
    gates = list(_gates(function, run, holds))
    for gate in gates:
        if not _is_open(scope, function, gate):
            _park(scope, function, item, gate, gates)
            return False
    _enter(scope, function, item, run, holds)
    return True


def _gates(function: Function, run: RunFacts, holds: Holds) -> Iterator[_Gate]:
    keys = _step_keys(run)
    limited = [limit for limit in function.config.concurrency if limit.limit > 0]
    pairs = [(key, limit) for limit in limited if (key := key_of(function, limit, keys)) is not None]
    yield from (_Gate(key, limit.limit) for key, limit in pairs if not limit.key)
    if holds.throttle is not None and function.flow is not None and function.flow.throttle is not None:
        yield _Gate(holds.throttle, _THROTTLE)
    yield from (_Gate(key, limit.limit) for key, limit in pairs if limit.key)
    run_limit = None if function.flow is None else function.flow.run_limit
    if holds.run_slot is not None and run_limit is not None and is_slot_of(run_limit, function.id, holds.run_slot):
        yield _Gate(holds.run_slot, run_limit.limit)


def _step_keys(run: RunFacts) -> list[str]:
    return [] if run.slot_keys is None else _decode_keys(run.slot_keys)


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


def _enter(scope: Scope, function: Function, item: Claimed, run: RunFacts, holds: Holds) -> None:
    scope.tables.slots.take(item.id, _step_keys(run))
    if holds.throttle is not None and function.flow is not None and function.flow.throttle is not None:
        throttle.count_start(scope, function.flow.throttle, holds.throttle)
    if holds.run_slot is not None:
        scope.tables.slots.take(f"{run.id}:run", [holds.run_slot])
