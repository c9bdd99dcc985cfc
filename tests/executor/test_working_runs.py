"""What is kept in memory of runs that are called is what the database has; calls that end together share a commit."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepserve_core import Context, Inngest, TriggerEvent
from stepserve_core.executor import Executor, LoopSettings, Store, VirtualClock, loop
from stepserve_core.executor.apply import apply
from stepserve_core.executor.claims import claim, read_run
from stepserve_core.executor.decisions import StepRef
from stepserve_core.executor.events import Event
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.store import working_runs, writer
from stepserve_core.executor.store.defers import Defer
from stepserve_core.executor.store.runs import NewRun
from stepserve_core.executor.store.steps import Timing
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.working_runs import WorkingRun

pytestmark = pytest.mark.anyio

TIMING = Timing(0.0, 1.0, 2.0)
WAITING, STEP = StepRef("bb", "b", "Sleep"), StepRef("aa", "a", "StepRun")
GO = TriggerEvent(event="test/go")


def add_run(tables: Tables, run_id: str = "run") -> None:
    """Store a run that has a finished step and one that waits, and keep it."""
    seq = tables.events.add(Event("01A", "01A", "test/x", 0, b'{"name":"test/x"}', 0.0))
    tables.runs.add(NewRun(run_id, "function", 1, seq, queued_at=0.0, rank=0.0))
    tables.steps.record(run_id, StepRef("cc", "c", "StepRun"), b"1", "Completed", TIMING)
    tables.steps.open(run_id, WAITING, "Sleeping", 0.0)
    keep(tables, run_id)


def keep(tables: Tables, run_id: str) -> None:
    """Read a run and keep it, as a claim does."""
    run = read_run(tables, run_id)
    assert run is not None
    tables.working.keep(run)


def kept_and_stored(tables: Tables, run_id: str = "run") -> tuple[object, object]:
    """Return a run as its next call would have it, and as the database has it."""
    kept = tables.working.get(run_id) or read_run(tables, run_id)
    tables.working.clear()
    return _shown(kept), _shown(read_run(tables, run_id))


def _shown(run: WorkingRun | None) -> object:
    return None if run is None else (run.facts, run.event, run.memos, run.stack)


CHANGES: dict[str, Callable[[Tables], object]] = {
    "a step is executed": lambda tables: tables.steps.record("run", STEP, b'{"data":1}', "Completed", TIMING),
    "a step is executed again": lambda tables: tables.steps.record("run", StepRef("cc", "c", "Step"), b"2", "", TIMING),
    "a step that waited ends": lambda tables: tables.steps.resolve("run", "bb", b"null", "Completed", 3.0),
    "memos are copied": lambda tables: tables.steps.copy("other", "run", ["dd"]),
    "its first call begins": lambda tables: tables.runs.start("run", 1.0),
    "its version is known": lambda tables: tables.runs.learn("run", 2, None),
    "steps are planned": lambda tables: tables.runs.learn("run", None, force_plan=True),
    "limits are new to it": lambda tables: tables.runs.learn_limits("run", '["k"]', "{}"),
    "a step is edited": lambda tables: tables.runs.edit_input("run", "aa", b"[1]"),
    "a function is deferred": lambda tables: tables.defers.add(Defer("run", "ee", "e", "app-f", "Scheduled", b"{}")),
    "it ends": lambda tables: tables.runs.end("run", "Completed", b"1", 4.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_kept_of_a_run_is_what_the_database_has(name: str) -> None:
    store = Store()

    def unit(tables: Tables) -> tuple[object, object]:
        add_run(tables, "other")
        tables.steps.record("other", StepRef("dd", "d", "StepRun"), b"1", "Completed", TIMING)
        add_run(tables)
        CHANGES[name](tables)
        return kept_and_stored(tables)

    kept, stored = store.look(unit)
    store.close()

    assert stored == kept


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
async def test_what_a_failed_unit_changed_is_not_kept(tmp_path: Path, others: int) -> None:
    store = Store(str(tmp_path / "x.db"))
    await store.write(add_run)

    def fail(tables: Tables) -> None:
        tables.steps.record("run", STEP, b"2", "Completed", TIMING)
        keep(tables, "run")
        raise ValueError("no")

    units: list[Callable[[Tables], None]] = [fail, *[lambda tables: add_run(tables, "other")] * others]
    await asyncio.gather(*[store.write(unit) for unit in units], return_exceptions=True)
    kept, stored = await store.write(kept_and_stored)
    store.close()

    assert stored == kept


def test_large_runs_are_not_kept_and_of_the_others_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_runs, "_MOST", 2)
    store = Store()

    def unit(tables: Tables) -> list[bool]:
        for run_id in ("a", "b", "c"):
            add_run(tables, run_id)
        tables.steps.record("b", STEP, b'"%s"' % (b"x" * (64 << 10)), "Completed", TIMING)
        keep(tables, "b")
        return [tables.working.get(run_id) is not None for run_id in ("a", "b", "c")]

    kept = store.look(unit)
    store.close()

    assert [False, False, True] == kept


@pytest.fixture
def client() -> Inngest:
    """Return a client."""
    return Inngest(app_id="app", is_production=True)


async def test_while_functions_run_what_is_kept_stays_what_the_database_has(
    client: Inngest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    different: list[tuple[object, object]] = []
    seen = 0
    run_batch = writer._run_batch

    def run_and_compare(connection: sqlite3.Connection, tables: Tables, units: list[Any]) -> Any:
        nonlocal seen
        outcomes = run_batch(connection, tables, units)
        fresh = Tables(connection)
        for row in tables.runs.all():
            run = tables.working.get(row.id)
            if run is not None:
                seen += 1
                pair = _shown(run), _shown(read_run(fresh, row.id))
                different.extend([pair] if pair[0] != pair[1] else [])
        return outcomes

    monkeypatch.setattr(writer, "_run_batch", run_and_compare)
    clock = VirtualClock()

    @client.create_function(fn_id="f", trigger=GO, retries=2)
    async def function(ctx: Context) -> list[int]:
        first = await ctx.step.run("first", int, 1)
        both = await asyncio.gather(ctx.step.run("b", int, 2), ctx.step.run("c", int, 3))
        await ctx.step.sleep("nap", datetime.timedelta(minutes=1))
        return [first, *both, await ctx.step.run("last", _fail_once, ctx)]

    store = Store(str(tmp_path / "x.db"))
    settings = LoopSettings(retry_interval=0.0, jitter=False)
    async with Executor.embedded(client, [function], store=store, clock=clock, settings=settings) as executor:
        await executor.send([{"name": "test/go"} for _ in range(5)])
        await executor.loop.idle()
        clock.advance(60)
        executor.loop.wake()
        await executor.loop.idle()
        outputs = {run.output for run in await executor.read(lambda tables: tables.runs.all())}

    assert ({b"[1,2,3,4]"}, []) == (outputs, different)
    assert seen >= 20


async def _fail_once(ctx: Context) -> int:
    if ctx.attempt == 0:
        raise ValueError("once")
    return 4


def simple(client: Inngest) -> Any:
    """Return a function of one step."""

    @client.create_function(fn_id="simple", trigger=GO)
    async def function(ctx: Context) -> int:
        return await ctx.step.run("one", int, 1)

    return function


async def test_calls_that_end_in_one_turn_of_the_event_loop_share_a_transaction(
    client: Inngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[int] = []

    def count(*arguments: Any) -> Any:
        claimed = claim(*arguments)
        claims.append(len(claimed.items))
        return claimed

    async with Executor.embedded(client, [simple(client)]) as executor:
        await executor.loop.idle()
        monkeypatch.setattr(loop, "claim", count)
        await executor.send([{"name": "test/go"} for _ in range(20)])
        await executor.loop.idle()

    assert 40 == sum(claims)
    assert [20, 20] == [number for number in claims if number]


async def test_of_calls_that_end_together_only_those_are_lost_that_cannot_be_carried_out(
    client: Inngest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    async with Executor.embedded(client, [simple(client)], clock=clock) as executor:
        ids = await executor.send([{"name": "test/go"} for _ in range(3)])
        (bad,) = [run.id for run in await executor.read(lambda tables: tables.runs.of_event(ids[1]))]

        def refuse(scope: Any, work: Any, *rest: Any) -> bool:
            if work.run_id == bad:
                raise RuntimeError("broken")
            return apply(scope, work, *rest)

        monkeypatch.setattr(loop, "apply", refuse)
        await executor.loop.idle()
        before = [run.status for run in await executor.read(lambda tables: tables.runs.all())]
        monkeypatch.undo()
        for _ in range(2):
            clock.advance(LEASE / 2)
            executor.loop.wake()
            await executor.loop.idle()
        after = [run.status for run in await executor.read(lambda tables: tables.runs.all())]

    assert ["Completed", "Running", "Completed"] == before
    assert ["Completed"] * 3 == after
    assert 1 == caplog.text.count("it is called again when its lease ends")
