"""The store: units of work in, committed results out."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stepserve_core.executor.store.database import connect, hold_lock, open_database
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.writer import InlineWriter, ThreadWriter, Unit, Watcher

T = TypeVar("T")


class Store:
    """A database and its one writer.

    Args:
        path: the file; None keeps everything in memory.
        synchronous: see `open_database`.

    Raises:
        DatabaseError: the file cannot be used.
    """

    def __init__(self, path: str | None = None, *, synchronous: str = "FULL") -> None:
        self._lock = None if path is None else hold_lock(path)
        try:
            self._connection = open_database(path, synchronous)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise
        self._writer = InlineWriter(self._connection) if path is None else ThreadWriter(self._connection)
        self._reader: sqlite3.Connection | None = None if path is None else connect(path, read_only=True)
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="stepserve-reader")
        self._read_tables = None if self._reader is None else Tables(self._reader)

    async def write(self, unit: Unit[T]) -> T:
        """Run a unit and return its result after it was committed. What it raises is raised here."""
        return await self._writer.write(unit)

    @property
    def is_in_memory(self) -> bool:
        """Say whether nothing of it is kept; then it suspends nobody."""
        return self._reader is None

    def look(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, at once and without an event loop. Only a store in memory can do that."""
        assert isinstance(self._writer, InlineWriter), "the store is a file"
        return self._writer.run(unit)

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, without waiting for writers."""
        if self._read_tables is None:
            return await self._writer.write(unit)
        tables = self._read_tables
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, lambda: unit(tables))

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher`, on the running loop, what transactions touch from now on."""
        self._writer.watch(watcher)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()
        self._read_thread.shutdown()
        if self._reader is not None:
            self._reader.close()
        self._connection.close()
        if self._lock is not None:
            self._lock.close()
