"""Group commit: one thread writes; every unit of work that is waiting shares one transaction and one sync to disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.tables import Tables

T = TypeVar("T")
Unit = Callable[[Tables], T]
Watcher = Callable[[Changes], None]

_BATCH = 256
"""Units that share a transaction at most, so that the first of them does not wait without bound."""


class StoreClosedError(RuntimeError):
    """Something was to be written after the store was closed."""


class _Audience:
    """Who is told what transactions touched, on the loop where they listen."""

    def __init__(self) -> None:
        self._watchers: list[tuple[asyncio.AbstractEventLoop, Watcher]] = []

    def admit(self, watcher: Watcher) -> None:
        """Let `watcher` listen, on the running loop."""
        self._watchers.append((asyncio.get_running_loop(), watcher))

    def tell(self, changes: Changes) -> None:
        """Pass changes on, from any thread."""
        if not changes:
            return
        for loop, watcher in self._watchers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(watcher, changes)


class ThreadWriter:
    """Writes in a thread of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tables = Tables(connection)
        self._waiting: list[tuple[Unit[Any], asyncio.Future[Any]]] = []
        self._condition = threading.Condition()
        self._closing = False
        self._audience = _Audience()
        self._thread = threading.Thread(target=self._work, name="stepserve-writer", daemon=True)
        self._thread.start()

    async def write(self, unit: Unit[T]) -> T:
        """Run a unit, and return its result when its transaction has been committed."""
        return await self.submit(unit)

    def submit(self, unit: Unit[T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._condition:
            if self._closing:
                raise StoreClosedError("the store is closed")
            self._waiting.append((unit, future))
            self._condition.notify()
        return future

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher`, on the running loop, what every transaction from now on touched."""
        self._audience.admit(watcher)

    def close(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closing:
                    self._condition.wait()
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            if not batch:
                return
            outcomes = _run_batch(self._connection, self._tables, [unit for unit, _ in batch])
            self._audience.tell(self._tables.changes.take())
            _deliver([future for _, future in batch], outcomes)


class InlineWriter:
    """Writes at once, in the caller and in any thread: for databases in memory, where a commit costs nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._tables = Tables(connection)
        self._lock = threading.Lock()
        self._audience = _Audience()

    async def write(self, unit: Unit[T]) -> T:
        """Run a unit in a transaction of its own, without ever suspending."""
        return self.run(unit)

    def run(self, unit: Unit[T]) -> T:
        """Run a unit in a transaction of its own."""
        with self._lock:
            result, error = _run_batch(self._connection, self._tables, [unit])[0]
            self._audience.tell(self._tables.changes.take())
        if error is not None:
            raise error
        value: T = result
        return value

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher`, on the running loop, what every transaction from now on touched."""
        self._audience.admit(watcher)

    def close(self) -> None:
        """Do nothing: nothing waits."""


_Outcome = tuple[Any, BaseException | None]


def _run_batch(connection: sqlite3.Connection, tables: Tables, units: list[Unit[Any]]) -> list[_Outcome]:
    """Run units in one transaction. A unit that fails is undone alone; if the commit fails, all have failed."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _run_units(connection, tables, units)
        connection.execute("COMMIT")
    except BaseException as error:
        _roll_back(connection, tables)
        return [(None, error)] * len(units)
    return outcomes


def _run_units(connection: sqlite3.Connection, tables: Tables, units: list[Unit[Any]]) -> list[_Outcome]:
    """Run units, and where one fails all of them again, each with a savepoint.

    Units hardly ever fail, and savepoints cost a tenth of everything. So a unit may run twice: it must do nothing but
    read and write its tables.
    """
    try:
        return [(unit(tables), None) for unit in units]
    except Exception:
        if len(units) == 1:
            raise  # nothing is left to commit
        _roll_back(connection, tables)
        connection.execute("BEGIN IMMEDIATE")
        return [_run_unit(connection, tables, unit) for unit in units]


def _run_unit(connection: sqlite3.Connection, tables: Tables, unit: Unit[Any]) -> _Outcome:
    connection.execute("SAVEPOINT unit")
    try:
        result = unit(tables)
    except Exception as error:
        if not connection.in_transaction:
            raise  # SQLite gave up the whole transaction (a full disk does that)
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
        tables.working.clear()
        return None, error
    connection.execute("RELEASE unit")
    return result, None


def _roll_back(connection: sqlite3.Connection, tables: Tables) -> None:
    tables.working.clear()
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _deliver(futures: list[asyncio.Future[Any]], outcomes: list[_Outcome]) -> None:
    """Resolve the futures on their loops, with one wake-up per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Outcome]]] = {}
    for future, outcome in zip(futures, outcomes, strict=True):
        by_loop.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, settled in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(settled: list[tuple[asyncio.Future[Any], _Outcome]]) -> None:
    for future, outcome in settled:
        _settle(future, outcome)


def _settle(future: asyncio.Future[Any], outcome: _Outcome) -> None:
    if future.cancelled():
        return
    result, error = outcome
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
