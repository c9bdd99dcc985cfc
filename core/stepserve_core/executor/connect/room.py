"""Calls that no worker takes wait in the queue, and go on when one has room."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple

from stepserve_core.executor import ids
from stepserve_core.executor.connect.workers import Workers
from stepserve_core.executor.store.slots import ALL
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables

_log = logging.getLogger(__name__)

_DATABASE_PAUSE = 1.0
_PREFIX = "worker:"


class _Unblocked(NamedTuple):
    """How many calls go on, and, where none waits any more, how many refusals there had been."""

    calls: int
    calm_at: int | None


def room_key(app_id: str) -> str:
    """Return what calls of an app wait for."""
    return f"{_PREFIX}{app_id}"


class Room:
    """Lets calls go on that waited for a worker; `wake` is told that there is work."""

    def __init__(self, store: Store, workers: Workers, wake: Callable[[], None]) -> None:
        self._store = store
        self._workers = workers
        self._wake = wake
        workers.on_room = self.announce
        self._tasks: set[asyncio.Task[None]] = set()

    def announce(self, app_names: Iterable[str], one: bool) -> None:
        """Let one waiting call of each app go on, or all of them."""
        keys = [room_key(ids.app_id(name)) for name in app_names]
        task = asyncio.get_running_loop().create_task(self._unblock(keys, 1 if one else ALL))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is under way; a new process lets every waiting call go on."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:  # without any, there need not be an event loop
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _unblock(self, keys: list[str], most: int) -> None:
        def unit(tables: Tables) -> _Unblocked:
            # Read first: a call that comes to wait in a later transaction is counted after it.
            refusals = self._workers.refusals
            calls = sum(tables.slots.unblock(key, most) for key in keys)
            return _Unblocked(calls, None if tables.slots.is_any_waited_for(_PREFIX) else refusals)

        while True:
            try:
                unblocked = await self._store.write(unit)
                if unblocked.calm_at is not None:
                    self._workers.note_calm(unblocked.calm_at)
                if unblocked.calls:
                    self._wake()
                return
            except sqlite3.Error:
                _log.exception("the database cannot be written; trying again in %g s", _DATABASE_PAUSE)
                await asyncio.sleep(_DATABASE_PAUSE)
