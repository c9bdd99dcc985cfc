"""What a run holds until it ends, and what its start waits for; evaluated when it is scheduled. No I/O."""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError
from stepserve_core.executor.flow.keys import digest, evaluate_key, name_key
from stepserve_core.executor.flow.options import Flow, Rate
from stepserve_core.executor.function_config import ConcurrencyLimit

_log = logging.getLogger(__name__)

_FAILED = b"<failed>"


class Holds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keys: of the singleton lock, of the throttle of its start, and of the limit of whole runs."""

    singleton: str | None = None
    throttle: str | None = None
    run_slot: str | None = None


NOTHING = Holds()
_decode = msgspec.json.Decoder(Holds).decode


def read_holds(function_id: str, flow: Flow, event: Event) -> Holds | None:
    """Return the keys of a run; None where there are none."""
    holds = Holds(
        _singleton(function_id, flow, event), _throttle(function_id, flow, event), _run_slot(function_id, flow, event)
    )
    return None if holds == NOTHING else holds


def are_current(holds: Holds, function_id: str, flow: Flow) -> bool:
    """Say whether what a start waits for is what the function asks for now."""
    return _counts_for(_throttle_owner(function_id), flow.throttle, holds.throttle) and _counts_for(
        "" if flow.run_limit is None else _slot_owner(flow.run_limit, function_id), flow.run_limit, holds.run_slot
    )


def current_holds(holds: Holds, function_id: str, flow: Flow, event: Event) -> Holds:
    """Return what a start waits for as the function asks for it now. The lock of a singleton stays what it was."""
    return msgspec.structs.replace(
        holds, throttle=_throttle(function_id, flow, event), run_slot=_run_slot(function_id, flow, event)
    )


def encode_holds(holds: Holds) -> str:
    """Return the stored form."""
    return msgspec.json.encode(holds).decode()


def decode_holds(text: str) -> Holds:
    """Return what `encode_holds` wrote."""
    return _decode(text)


def _singleton(function_id: str, flow: Flow, event: Event) -> str | None:
    """A key that is false means no singleton (executor.md 7.8)."""
    if flow.singleton is None:
        return None
    if not flow.singleton.key:
        return function_id
    value = _value(flow.singleton.key, event)
    return None if value is None else name_key(function_id, flow.singleton.key, value)


def _throttle(function_id: str, flow: Flow, event: Event) -> str | None:
    if flow.throttle is None:
        return None
    owner = _throttle_owner(function_id)
    return name_key(owner, flow.throttle.key, b"" if flow.throttle.key is None else _shared(flow.throttle.key, event))


def _run_slot(function_id: str, flow: Flow, event: Event) -> str | None:
    limit = flow.run_limit
    if limit is None:
        return None
    value = _shared(limit.key, event) if limit.key else b""
    return name_key(_slot_owner(limit, function_id), limit.key or None, value)


def _counts_for(owner: str, option: Rate | ConcurrencyLimit | None, key: str | None) -> bool:
    """Say whether a key is one of an option as it is now: that may have had another expression or scope."""
    if option is None or key is None:
        return option is None and key is None
    return key.startswith(f"{owner}:{digest(option.key.encode())}:") if option.key else key == owner


def _throttle_owner(function_id: str) -> str:
    return f"throttle:{function_id}:"


def _slot_owner(limit: ConcurrencyLimit, function_id: str) -> str:
    return f"run:{limit.scope}" if limit.scope in ("env", "account") else f"run:{function_id}"


def _shared(expression: str, event: Event) -> bytes:
    value = _value(expression, event)
    return b"false" if value is None else value


def _value(expression: str, event: Event) -> bytes | None:
    """An expression that fails gives one key that all such runs share (executor.md 7.3)."""
    try:
        return evaluate_key(expression, event)
    except ExpressionFailedError as error:
        _log.warning("the key %r failed, its runs share one: %s", expression, error)
        return _FAILED
