"""Batches: several events start one run (executor.md 7.6).

Events are written to the open batch in the transaction that accepts them, not buffered in memory as upstream does.
"""

from __future__ import annotations

import logging

import msgspec

from stepserve_core.executor import ids, limits
from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.flow.keys import digest, evaluate_key
from stepserve_core.executor.flow.options import BatchOption
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.queue import QueueItem

_log = logging.getLogger(__name__)

KIND = "batch"
_MOST_BYTES = 10 * limits.MEBIBYTE
_SAME_EVENT = 30 * 60.0
"""Seconds within which an event with the same internal id is the same event, sent again."""


class Collected(msgspec.Struct, frozen=True):
    """What became of an event: `full` is the id of the batch that it filled."""

    full: str | None = None


def is_full(option: BatchOption, events: int, size: int) -> bool:
    """Say whether a batch of so many events and bytes starts at once."""
    return events >= option.max_size or size >= _MOST_BYTES


def collect(scope: Scope, function_id: str, option: BatchOption, event: Event, seq: int) -> Collected | None:
    """Add an event to the open batch of its key. Return None where it is to start a run of its own."""
    if not _belongs(option, event):
        return None
    try:
        key = "default" if option.key is None else digest(evaluate_key(option.key, event) or b"false")
    except ExpressionFailedError as error:
        _log.warning("the batch key %r failed, the event starts a run of its own: %s", option.key, error)
        return None
    batches = scope.tables.batches
    if batches.knows(function_id, event.internal_id, scope.now - _SAME_EVENT):
        return Collected()
    batch_id = batches.find_open(function_id, key)
    if batch_id is None:
        batch_id = ids.new_id(scope.now)
        batches.open(batch_id, function_id, key)
        at = scope.now + option.timeout
        item = QueueItem(timer_id(function_id, batch_id), KIND, "", function_id, at, at, payload=batch_id.encode())
        scope.tables.queue.add(item, scope.now)
    events, size = batches.append(batch_id, seq, event, function_id, scope.now)
    return Collected(batch_id if is_full(option, events, size) else None)


def timer_id(function_id: str, batch_id: str) -> str:
    """Return the id of the queue item that starts a batch which does not fill up."""
    return f"{KIND}:{function_id}:{batch_id}"


def _belongs(option: BatchOption, event: Event) -> bool:
    if not option.condition:
        return True
    try:
        return compile_expression(option.condition).matches(event.value())
    except ExpressionFailedError as error:
        _log.warning("the batch condition %r failed, the event starts a run of its own: %s", option.condition, error)
        return False
