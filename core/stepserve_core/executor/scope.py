"""What the steps of one unit of work share."""

from __future__ import annotations

from collections import deque

from stepserve_core.executor.events import Event
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.store.queue import Claimed
from stepserve_core.executor.store.tables import Tables


class Scope:
    """One transaction: its tables, the functions known, and the moment at which it happens.

    Internal events go to the `outbox`; `routing.settle` publishes them before the transaction ends. Where an answer
    has turned its item into the next call of its run, that is `kept`, and leased until `lease_until`; None where no
    item may be kept.
    """

    __slots__ = ("kept", "lease_until", "now", "outbox", "registry", "tables")

    def __init__(self, tables: Tables, registry: Registry, now: float, lease_until: float | None = None) -> None:
        self.tables = tables
        self.registry = registry
        self.now = now
        self.lease_until = lease_until
        self.kept: list[Claimed] = []
        self.outbox: deque[Event] = deque()
