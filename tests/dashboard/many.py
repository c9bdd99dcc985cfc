"""Runs by the thousand, put into the store as the executor would have left them."""

from __future__ import annotations

import functools
import math

from stepserve_core.executor import ids
from stepserve_core.executor.events import make_event
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.store.runs import NewRun
from stepserve_core.executor.store.tables import Tables

_AT_ONCE = 1000
_ERROR = b'{"name":"TimeoutError","message":"the warehouse did not answer within 3 s"}'


async def fill(executor: Executor, count: int) -> None:
    """Add runs of `shop-count` that ended within the last hour; some of them failed."""
    for first in range(0, count, _AT_ONCE):
        await executor.store.write(functools.partial(_add, executor, first, count))


def _add(executor: Executor, first: int, count: int, tables: Tables) -> None:
    function = executor.registry.find("shop-count")
    assert function is not None
    now = executor.clock.now()
    for number in range(first, min(first + _AT_ONCE, count)):
        part = number / count
        at = now - 3500 + 3400 * (part - 0.02 * math.sin(8 * math.pi * part))  # busier at some times than at others
        event = make_event("shop/counted", {"n": number}, internal_id=ids.new_id(at), now=at)
        run_id = ids.new_id(at)
        tables.runs.add(NewRun(run_id, function.id, 1, tables.events.add(event), at, at))
        tables.runs.start(run_id, at + 0.01)
        failed = number % 18 == 9
        output = _ERROR if failed else b"%d" % number
        tables.runs.end(run_id, "Failed" if failed else "Completed", output, at + 0.05)


async def fill_event(executor: Executor, count: int) -> str:
    """Add an event that has started so many runs of `shop-count`; return its id."""
    event_id = ids.new_id(executor.clock.now())
    await executor.store.write(functools.partial(_add_runs, executor, event_id, count))
    return event_id


def _add_runs(executor: Executor, event_id: str, count: int, tables: Tables) -> None:
    function = executor.registry.find("shop-count")
    assert function is not None
    now = executor.clock.now()
    seq = tables.events.add(make_event("shop/many", {"n": count}, internal_id=event_id, now=now))
    for _ in range(count):
        run_id = ids.new_id(now)
        tables.runs.add(NewRun(run_id, function.id, 1, seq, now, now))
        tables.runs.start(run_id, now)
        tables.runs.end(run_id, "Completed", b"1", now)
