"""Retention: what is old goes, what is needed stays; and backups of a database that is in use."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.retention import Removed, Retention
from stepserve_core.executor.server import ServerConfig
from stepserve_core.executor.store.backup import back_up
from stepserve_core.executor.store.damage import DatabaseError
from stepserve_core.executor.store.retention import Retention as Rows
from tests.cli.command import run_stepserve
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, run, sleep, wait
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
DAY = 86_400.0


def echo(call: Call) -> Steps:
    yield run("step", 1)
    return [event["data"]["n"] for event in call.body["events"]]


def nap(call: Call) -> Steps:
    yield sleep("nap", "30d")
    return call.event["data"]["n"]


def waiter(_: Call) -> Steps:
    event = yield wait("go", "test/go", "30d")
    return event["data"]["n"]


FUNCTIONS = [
    Fn("echo", echo, [{"event": "test/echo"}]),
    Fn("nap", nap, [{"event": "test/nap"}]),
    Fn("batch", echo, [{"event": "test/batch"}], options={"batchEvents": {"maxSize": 3, "timeout": "480h"}}),
    Fn("debounce", echo, [{"event": "test/debounce"}], options={"debounce": {"period": "7d"}}),
]


async def rows(system: System, table: str) -> int:
    connection = sqlite3.connect(str(system.database))
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return count


def sweeper(system: System, age: float) -> Retention:
    return Retention(system.executor.store, system.executor.clock, age)


async def test_what_has_ended_goes_and_what_is_under_way_goes_on(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepserve_core.executor.retention._PIECE", 7)
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        naps = [await system.send("test/nap", {"n": n}) for n in range(20)]
        echoes = [await system.send("test/echo", {"n": n}) for n in range(30)]
        batch = [await system.send("test/batch", {"n": n}) for n in range(5)]
        debounced = await system.send("test/debounce", {"n": 9})
        await system.idle()
        await system.advance(3 * DAY)
        late = await system.send("test/echo", {"n": 99})
        await system.idle()
        removed = await sweeper(system, 2 * DAY).sweep()

        # The 30 echoes and the full batch ended; of each of these runs there is one event about its end.
        assert Removed(runs=31, events=30 + 3 + 31) == removed
        assert [[]] * 33 == [await system.runs(event_id) for event_id in [*echoes, *batch[:3]]]
        assert ("Completed", [99]) == await system.outcome(late)
        await system.advance(4 * DAY)
        assert ("Completed", [9]) == await system.outcome(debounced)
        await system.advance(13 * DAY)
        assert ("Completed", [3, 4]) == await system.outcome(batch[3])
        await system.advance(10 * DAY)
        assert [("Completed", n) for n in range(20)] == [await system.outcome(event_id) for event_id in naps]
        await system.advance(3 * DAY)
        await sweeper(system, 2 * DAY).sweep()
        connection = sqlite3.connect(str(system.database))
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        connection.close()
        left = {table for table in tables if await rows(system, table)}
        assert {"apps", "functions", "backlogs", "sqlite_sequence"} >= left


async def test_what_runs_deferred_and_said_about_themselves_goes_with_them(start: StartSystem) -> None:
    def script(call: Call) -> Any:
        step = {"op": "StepRun", "id": hash_id("a"), "data": 1, "metadata": [{"kind": "k", "values": {"n": 1}}]}
        later = {"op": "DeferAdd", "id": hash_id("d"), "opts": {"fn_slug": "app-nobody", "input": {}}}
        return reply(200, None) if call.memos else reply(206, [step, later])

    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        system.app.replies["echo"] = script
        await system.send("test/echo", {"n": 1})
        await system.idle()
        kept = [await rows(system, table) for table in ("defers", "metadata")]
        await system.advance(3 * DAY)
        await sweeper(system, 2 * DAY).sweep()

        assert [1, 1] == kept
        assert [0, 0] == [await rows(system, table) for table in ("defers", "metadata")]


async def test_a_server_deletes_by_itself_while_it_works(start: StartSystem) -> None:
    async with start(FUNCTIONS[0], clock=VirtualClock(), retention=DAY) as system:
        for n in range(30):
            await system.send("test/echo", {"n": n})
        await system.advance(DAY - 60)
        assert 30 == await rows(system, "runs")
        while await rows(system, "events"):
            await system.advance(900)
            await asyncio.sleep(0.01)

        assert 0 == await rows(system, "runs")
        assert ("Completed", [1]) == await system.outcome(await system.send("test/echo", {"n": 1}))


async def test_a_round_does_not_look_again_at_what_earlier_ones_kept(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepserve_core.executor.retention._PIECE", 7)
    looked_at: list[int] = []
    original = Rows.delete_events

    def delete_events(rows: Rows, after: int, *arguments: Any) -> Any:
        looked_at.append(after)
        return original(rows, after, *arguments)

    monkeypatch.setattr(Rows, "delete_events", delete_events)
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        for n in range(20):
            await system.send("test/nap", {"n": n})
        debounced = await system.send("test/debounce", {"n": 8})
        await system.advance(3 * DAY)
        retention = sweeper(system, 2 * DAY)
        await retention.sweep()
        assert [0, 7, 14, 21] == looked_at

        newer = await system.send("test/debounce", {"n": 9})
        removed = await retention.sweep()

        # What the debounce no longer needs is found without looking at the naps.
        assert (Removed(events=1), [0, 7, 14, 21, 21]) == (removed, looked_at)
        assert [404, 200] == [(await system.http.get(f"/v1/events/{one}")).status_code for one in (debounced, newer)]


async def test_bulk_cancellations_that_ended_long_ago_are_deleted(start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        body = {"app_id": "app", "function_id": "nap", "started_before": "2000-01-01T00:00:00Z"}
        assert 200 == (await system.http.post("/v1/cancellations", json=body)).status_code
        await system.idle()
        await sweeper(system, DAY).sweep()
        kept = await rows(system, "cancellations")
        await system.advance(2 * DAY)
        await sweeper(system, DAY).sweep()

        assert (1, 0) == (kept, await rows(system, "cancellations"))


async def test_a_wait_begins_right_after_everything_was_deleted(start: StartSystem) -> None:
    async with start(Fn("f", waiter, [{"event": "test/x"}]), clock=VirtualClock()) as system:
        await system.send("test/go", {"n": 1})
        await system.advance(DAY)
        await sweeper(system, 3600).sweep()
        event_id = await system.send("test/x")
        await system.idle()
        await system.send("test/go", {"n": 2})

        assert ("Completed", 2) == await system.outcome(event_id)


def test_a_retention_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--retention must be at least 60 s"):
        ServerConfig(retention=5.0).check()


async def test_a_backup_taken_under_load_is_whole_and_its_runs_go_on(start: StartSystem, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.db")
    clock = VirtualClock()
    async with start(*FUNCTIONS, clock=clock) as system:
        naps = [await system.send("test/nap", {"n": n}) for n in range(20)]
        await system.idle()
        load = asyncio.gather(*(system.send("test/echo", {"n": n}) for n in range(100)))
        size = await asyncio.to_thread(back_up, str(system.database), copy)
        echoes = await load
        assert [("Completed", [n]) for n in range(100)] == [await system.outcome(event_id) for event_id in echoes]
    async with start(*FUNCTIONS, clock=VirtualClock(clock.now() + 1), database=copy) as system:
        await system.advance(30 * DAY)

        assert size > 0
        assert [("Completed", n) for n in range(20)] == [await system.outcome(event_id) for event_id in naps]


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "target", "message"),
    [
        (lambda _: None, "copy.db", "there is no database"),
        (_foreign, "copy.db", "is not a database of stepserve"),
        (lambda path: path.write_bytes(b"x" * 5000), "copy.db", "file is not a database"),
        (_foreign, "there.db", "exists already; a backup overwrites nothing"),
        (_foreign, "no/folder.db", "cannot be copied"),
    ],
)
def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(
    tmp_path: Path, prepare: Any, target: str, message: str
) -> None:
    (tmp_path / "there.db").write_bytes(b"precious")
    prepare(tmp_path / "source.db")
    with pytest.raises(DatabaseError, match=message):
        back_up(str(tmp_path / "source.db"), str(tmp_path / target))

    assert b"precious" == (tmp_path / "there.db").read_bytes()
    assert {"source.db", "there.db"} >= {path.name for path in tmp_path.iterdir()}


async def test_the_command_copies_the_database_of_a_server_that_runs(start: StartSystem, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with start(*FUNCTIONS) as system:
        event_id = await system.send("test/echo", {"n": 1})
        await system.idle()
        database = str(system.database)
        done = await asyncio.to_thread(run_stepserve, "backup", str(copy), "--db", database)
        again = await asyncio.to_thread(run_stepserve, "backup", str(copy), variables={"INNGEST_DB": database})
    connection = sqlite3.connect(copy)
    (found,) = connection.execute("SELECT internal_id FROM events WHERE name = 'test/echo'").fetchone()
    connection.close()

    assert (0, "") == (done.returncode, done.stderr)
    assert f"{copy}: {copy.stat().st_size:,} bytes\n" == done.stdout
    assert (1, f"stepserve: {copy} exists already; a backup overwrites nothing\n") == (again.returncode, again.stderr)
    assert event_id == found
