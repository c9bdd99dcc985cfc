"""Retention: ended runs and unneeded events are deleted when they are old enough, in small pieces."""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import msgspec

from stepserve_core.executor.clock import Clock
from stepserve_core.executor.flow.debounce import read_debounced
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables

_log = logging.getLogger(__name__)

_PIECE = 200
"""Rows that one piece looks at; it shares its transaction with whatever else is to be written."""

SHORTEST_RETENTION = 60.0
"""Seconds. Apps and people must be able to look at a run when it has ended."""

_LONGEST_ROUND, _SHORTEST_ROUND = 3600.0, 1.0
"""Seconds between two rounds; a hundredth of the retention within these bounds."""


class Removed(msgspec.Struct, frozen=True):
    """What a round deleted."""

    runs: int = 0
    events: int = 0


class Retention:
    """Deletes what is older than `age` seconds: runs by the moment they ended, events by when they were received."""

    def __init__(self, store: Store, clock: Clock, age: float) -> None:
        self._store = store
        self._clock = clock
        self._age = age
        self._interval = min(max(age / 100, _SHORTEST_ROUND), _LONGEST_ROUND)
        self._wake = asyncio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Make a round now and at every interval until `stop` is called."""
        while not self._stopped:
            try:
                removed = await self.sweep()
            except sqlite3.Error:
                _log.exception("old runs and events could not be deleted; they are tried again later")
            else:
                if removed != Removed():
                    _log.info("deleted %d runs and %d events older than %g s", removed.runs, removed.events, self._age)
            self._wake.clear()
            if not self._stopped:
                await self._clock.wait(self._wake, self._clock.now() + self._interval)

    def stop(self) -> None:
        """End `run`."""
        self._stopped = True
        self._wake.set()

    async def sweep(self) -> Removed:
        """Delete everything that is old enough; return how much it was."""
        horizon = self._clock.now() - self._age
        runs = await self._sweep_runs(horizon)
        return Removed(runs, await self._sweep_events(horizon))

    async def _sweep_runs(self, horizon: float) -> int:
        removed, count = 0, _PIECE
        while count == _PIECE and not self._stopped:
            count = await self._store.write(lambda tables: tables.retention.delete_runs(horizon, _PIECE))
            removed += count
        return removed

    async def _sweep_events(self, horizon: float) -> int:
        kept = frozenset(
            read_debounced(payload).seq
            for payload in await self._store.write(lambda tables: tables.retention.debounced())
        )
        cursor: int | None = 0
        removed = 0
        while cursor is not None and not self._stopped:
            after = cursor

            def unit(tables: Tables, after: int = after) -> tuple[int | None, int]:
                return tables.retention.delete_events(after, horizon, kept, _PIECE)

            cursor, count = await self._store.write(unit)
            removed += count
        return removed
