"""Items that become the next call of their run: nobody else's turn is taken, and nothing is claimed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.store.database import open_database
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.tables import Tables
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, replay, run

DONE = QueueItem("run:discover:a", "discover", "run", "f", at=10.0, priority=10.0)
NEXT = QueueItem("run:discover:b", "discover", "run", "f", at=12.0, priority=10.0)


@pytest.fixture
def tables(tmp_path: Path) -> Generator[Tables, None, None]:
    """Tables over a fresh file."""
    connection = open_database(str(tmp_path / "tables.db"))
    yield Tables(connection)
    connection.close()


def claim_only(tables: Tables, item: QueueItem) -> int:
    """Queue an item and lease it; return its generation."""
    tables.queue.add(item, now=10.0)
    (claimed,) = tables.queue.claim(1, lease_until=40.0)
    return claimed.generation


def queued(tables: Tables) -> list[tuple[str, int]]:
    return [(job.id, job.state) for job in tables.queue.of_run("run")]


def test_an_item_that_is_turned_into_another_is_gone_and_the_other_is_leased(tables: Tables) -> None:
    generation = claim_only(tables, DONE)
    kept = tables.queue.turn_into(DONE.id, generation, NEXT, 12.0, lease_until=42.0)

    assert kept is not None
    assert (NEXT.id, 12.0) == (kept.id, kept.queued_at)
    assert [] == tables.queue.claim(5, lease_until=42.0)
    assert [42.0] == tables.queue.lease_ends()
    assert not tables.queue.finish(DONE.id, generation)
    assert tables.queue.finish(NEXT.id, kept.generation)


def test_an_item_whose_lease_was_lost_is_not_turned_into_another(tables: Tables) -> None:
    generation = claim_only(tables, DONE)
    tables.queue.expire_leases(None)
    (again,) = tables.queue.claim(1, lease_until=50.0)

    assert tables.queue.turn_into(DONE.id, generation, NEXT, 12.0, lease_until=42.0) is None
    assert tables.queue.finish(DONE.id, again.generation)


def test_an_item_is_not_turned_into_one_that_is_queued_already(tables: Tables) -> None:
    generation = claim_only(tables, DONE)
    tables.queue.add(NEXT, now=12.0)

    before = queued(tables)
    assert tables.queue.turn_into(DONE.id, generation, NEXT, 12.0, lease_until=42.0) is None
    assert before == queued(tables)


def test_a_start_is_not_turned_into_another_item_so_that_the_count_of_starts_stays_right(tables: Tables) -> None:
    begin = QueueItem("run:start", "start", "run", "f", at=10.0, priority=10.0)
    generation = claim_only(tables, begin)

    assert tables.queue.turn_into(begin.id, generation, NEXT, 12.0, lease_until=42.0) is None
    assert tables.queue.finish(begin.id, generation)


def three_steps(call: Call) -> Generator[Any, Any, Any]:
    del call
    for name in ("a", "b", "c"):
        yield run(name, 1)
    return "done"


@pytest.mark.anyio
@pytest.mark.not_under(reason="the order of calls is that of the queue only where none is made again")
async def test_a_run_of_a_higher_priority_has_its_turn_between_the_steps_of_another(start: StartSystem) -> None:
    options = {"priority": {"run": "event.data.plan == 'paid' ? 120 : 0"}}
    function = Fn("f", three_steps, [{"event": "test/x"}], options=options)
    async with start(function, clock=VirtualClock(), concurrency=1) as system:
        second_call, release = asyncio.Event(), asyncio.Event()

        async def hold(call: Call) -> Response:
            if len(system.app.calls) == 2:
                second_call.set()
                await release.wait()
            return replay(three_steps, call)

        system.app.replies["f"] = hold
        await system.http.post("/e/key", json={"name": "test/x", "data": {"plan": "free"}})
        await second_call.wait()
        await system.http.post("/e/key", json={"name": "test/x", "data": {"plan": "paid"}})
        release.set()
        await system.idle()

        order = [call.event["data"]["plan"] for call in system.app.calls]
        assert ["free"] * 2 + ["paid"] * 4 + ["free"] * 2 == order
