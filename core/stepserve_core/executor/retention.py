"""Retention: ended runs and unneeded events are deleted when they are old enough, in small pieces."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial

import msgspec

from stepserve_core.executor.clock import Clock
from stepserve_core.executor.flow.debounce import read_debounced
from stepserve_core.executor.store.retention import Retention as Rows
from stepserve_core.executor.store.retention import Swept
from stepserve_core.executor.store.store import Store

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
        # How far events were looked at, and those before that to look at again: an event that stays because of a run
        # goes with the run, so a round costs what it deletes and not what is stored.
        self._cursor = 0
        self._waiting: set[int] = set()

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
        before = self._clock.now() - self._age
        kept = frozenset(
            read_debounced(payload).seq
            for payload in await self._store.write(lambda tables: tables.retention.debounced())
        )
        waiting, self._waiting = sorted(self._waiting), set()
        again = await self._sweep_waiting(waiting, before, kept)
        runs = await self._sweep_runs(before, kept)
        events = await self._sweep_events(before, kept)
        await self._store.write(lambda tables: tables.retention.delete_cancellations(before))
        return Removed(runs.runs, again + runs.events + events)

    async def _sweep_waiting(self, waiting: list[int], before: float, kept: frozenset[int]) -> int:
        removed = 0
        for start in range(0, len(waiting), _PIECE):
            look_again = partial(_look_again, waiting[start : start + _PIECE], before, kept)
            removed += (await self._sweep(look_again)).events
        return removed

    async def _sweep_runs(self, before: float, kept: frozenset[int]) -> Removed:
        runs, events, count = 0, 0, _PIECE
        while count == _PIECE and not self._stopped:
            swept = await self._sweep(lambda rows: rows.delete_runs(before, kept, _PIECE))
            count = swept.runs
            runs, events = runs + count, events + swept.events
        return Removed(runs, events)

    async def _sweep_events(self, before: float, kept: frozenset[int]) -> int:
        removed = 0
        while not self._stopped:
            swept = await self._sweep(lambda rows: rows.delete_events(self._cursor, before, kept, _PIECE))
            removed += swept.events
            if swept.cursor is None:
                break
            self._cursor = swept.cursor
        return removed

    async def _sweep(self, piece: Callable[[Rows], Swept]) -> Swept:
        swept = await self._store.write(lambda tables: piece(tables.retention))
        self._waiting.update(swept.waiting)
        return swept


def _look_again(piece: list[int], before: float, kept: frozenset[int], rows: Rows) -> Swept:
    return rows.delete_waiting(piece, before, kept)
