"""Debounce: events of one key start one run, with the last of them, after a quiet period (executor.md 7.5).

What is under way is one timer in the queue; its payload says which event would start the run. Unlike upstream it
fires when the period is over, and not about a second later.
"""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError
from stepserve_core.executor.flow.keys import digest, evaluate_key
from stepserve_core.executor.flow.options import DebounceOption
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.queue import QueueItem

_log = logging.getLogger(__name__)

KIND = "debounce"
_INVALID = b"<invalid>"


class Debounced(msgspec.Struct, frozen=True, omit_defaults=True):
    """A debounce under way. `seq` and `ts` are those of the event that would start the run, `first_at` is when the
    first one came. `correlation_id` is the step that invoked the function, where one did."""

    seq: int
    ts: int
    first_at: float
    cron: str | None = None
    correlation_id: str | None = None


_decode = msgspec.json.Decoder(Debounced).decode


def fire_moment(option: DebounceOption, first_at: float, now: float) -> float:
    """Return when the run starts if no further event comes."""
    quiet = now + option.period
    return quiet if option.timeout is None else min(quiet, first_at + option.timeout)


def merge(known: Debounced | None, new: Debounced) -> Debounced:
    """Return what is under way after one more event. One that is older, by its own time, does not replace another."""
    if known is None:
        return new
    return msgspec.structs.replace(known if new.ts < known.ts else new, first_at=known.first_at)


def hold(scope: Scope, function_id: str, option: DebounceOption, event: Event, new: Debounced) -> str | None:
    """Keep an event until its key is quiet. Return the step whose invocation it displaces, if there is one."""
    item_id = f"{KIND}:{function_id}:{digest(_key(option, event))}"
    payload = scope.tables.queue.payload(item_id)
    known = None if payload is None else _decode(payload)
    merged = merge(known, new)
    at = fire_moment(option, merged.first_at, scope.now)
    encoded = msgspec.json.encode(merged)
    if known is None:
        scope.tables.queue.add(QueueItem(item_id, KIND, "", function_id, at, at, payload=encoded), scope.now)
        return None
    scope.tables.queue.move(item_id, at, encoded)
    return known.correlation_id if merged.seq != known.seq else new.correlation_id


def read_debounced(payload: bytes | None) -> Debounced:
    """Return what a due timer carries."""
    return _decode(payload or b"")


def _key(option: DebounceOption, event: Event) -> bytes:
    """An expression that fails gives one key that all such events share (executor.md 7.5)."""
    if option.key is None:
        return b""
    try:
        return evaluate_key(option.key, event) or b"false"
    except ExpressionFailedError as error:
        _log.warning("the debounce key %r failed, its events share one: %s", option.key, error)
        return _INVALID
