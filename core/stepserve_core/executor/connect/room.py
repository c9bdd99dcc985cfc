"""Calls that no worker takes wait in the queue, and go on when one has room."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable

from stepserve_core.executor import ids
from stepserve_core.executor.store.slots import ALL
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables

_log = logging.getLogger(__name__)

_DATABASE_PAUSE = 1.0


def room_key(app_id: str) -> str:
    """Return what calls of an app wait for."""
    return f"worker:{app_id}"


class Room:
    """Lets calls go on that waited for a worker; `wake` is told that there is work."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
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
        def unit(tables: Tables) -> int:
            return sum(tables.slots.unblock(key, most) for key in keys)

        while True:
            try:
                if await self._store.write(unit):
                    self._wake()
                return
            except sqlite3.Error:
                _log.exception("the database cannot be written; trying again in %g s", _DATABASE_PAUSE)
                await asyncio.sleep(_DATABASE_PAUSE)
