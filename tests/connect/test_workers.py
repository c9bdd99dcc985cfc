"""Who gets a call, and who is told that there is room."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from pathlib import Path

import pytest

from stepserve_core.connect.messages import SystemAttributes
from stepserve_core.executor import ids
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.connect.room import Room, room_key
from stepserve_core.executor.connect.workers import Connection, Workers
from stepserve_core.executor.store.queue import Claimed, QueueItem
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables

pytestmark = pytest.mark.anyio


async def _send(frame: bytes) -> None:
    del frame


def connect(workers: Workers, most: int) -> Connection:
    """Connect a worker that takes `most` calls at once."""
    connection = Connection(
        "c",
        "i",
        {"app-f": "app"},
        _send,
        max_concurrency=most,
        sdk=("py", "1"),
        system=SystemAttributes(),
        address="127.0.0.1",
        now=time.time(),
    )
    workers.add(connection)
    workers.make_ready(connection)
    return connection


async def test_each_call_that_ends_lets_one_go_on_while_calls_may_wait() -> None:
    """Two may end before the first that was let go on is taken: the second must not be forgotten."""
    workers = Workers(VirtualClock(time.time()))
    connection = connect(workers, most=2)
    told: list[bool] = []
    workers.on_room = lambda _apps, one: told.append(one)
    forwards = [workers.open(request_id, connection) for request_id in ("a", "b")]

    assert not workers.has_room("app-f")
    for forward in forwards:
        workers.close(forward)
    assert [True, True] == told


async def test_a_call_that_is_given_back_while_it_is_sent_leaves_no_error_behind() -> None:
    workers = Workers(VirtualClock(time.time()))
    connection = connect(workers, most=1)
    forward = workers.open("a", connection)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    workers.remove(connection, is_clean=True)
    workers.close(forward)
    del forward
    gc.collect()

    assert [] == complaints


class Line:
    """Calls of one app that are claimed, made, and parked where the worker is full, as the executor's loop does it."""

    def __init__(self, store: Store, workers: Workers, connection: Connection, chance: random.Random) -> None:
        self._store = store
        self._workers = workers
        self._connection = connection
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        self.done = 0

    async def run(self, calls: int) -> None:
        """Make so many calls. When nothing is under way and none is ready, none may wait."""
        for number in range(calls):
            new = QueueItem(f"r{number}:start", "start", f"r{number}", "f", 0.0, float(number))
            await self._store.write(lambda tables: tables.queue.add(new, 1.0))  # noqa: B023 - used at once
        while self.done < calls:
            for item in await self._store.write(lambda tables: tables.queue.claim(8, 100.0)):
                task = asyncio.create_task(self._make(item))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(lambda _: self.wake.set())
            if not self._tasks and not self.wake.is_set():
                ready = await self._store.read(lambda tables: tables.slots.is_any_waited_for("worker:"))

                assert not ready, "a call waits, and nobody will let it go on"
            await asyncio.wait_for(self.wake.wait(), 10)
            self.wake.clear()

    async def _make(self, item: Claimed) -> None:
        await self._pause()
        if self._workers.choose("app-f") is None:
            await self._pause()
            await self._store.write(lambda tables: self._park(tables, item))
            return
        forward = self._workers.open(item.id, self._connection)
        for _ in range(self._chance.randrange(5)):
            await self._store.write(lambda _: None)
        self._workers.close(forward)
        await self._store.write(lambda tables: tables.queue.finish(item.id, item.generation))
        self.done += 1

    def _park(self, tables: Tables, item: Claimed) -> None:
        tables.queue.put_back(item.id, item.generation, 1.0, 0, 1.0)
        if not self._workers.has_room("app-f"):
            tables.slots.block(item.id, room_key(ids.app_id("app")))

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(6))
async def test_no_call_waits_for_ever_and_once_none_waits_ended_calls_write_nothing(tmp_path: Path, seed: int) -> None:
    store, workers = Store(str(tmp_path / "room.db"), synchronous="OFF"), Workers(VirtualClock(1.0))
    chance = random.Random(seed)
    connection = connect(workers, most=chance.randrange(1, 4))
    line = Line(store, workers, connection, chance)
    room = Room(store, workers, line.wake.set)
    await line.run(40)
    # What ended last may still have to be noted.
    workers.close(workers.open("last", connection))
    await asyncio.gather(*room._tasks)
    told: list[bool] = []
    workers.on_room = lambda _apps, one: told.append(one)
    connection.max_concurrency = 10
    workers.close(workers.open("after", connection))
    await room.close()
    store.close()

    assert workers.refusals > 0
    assert [] == told
