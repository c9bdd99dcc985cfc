"""What the steps of one unit of work share."""

from __future__ import annotations

from collections import deque

from stepserve_core.executor.events import Event
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.store.tables import Tables


class Scope:
    """One transaction: its tables, the functions known, and the moment at which it happens.

    Internal events go to the `outbox`; `routing.settle` publishes them before the transaction ends.
    """

    __slots__ = ("now", "outbox", "registry", "tables")

    def __init__(self, tables: Tables, registry: Registry, now: float) -> None:
        self.tables = tables
        self.registry = registry
        self.now = now
        self.outbox: deque[Event] = deque()
