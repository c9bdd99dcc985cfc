"""Files of older schema versions, as the executor wrote them: they are migrated, and their runs go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.store import database, migrations
from stepserve_core.executor.store.damage import DatabaseError
from stepserve_core.executor.store.database import open_database
from stepserve_core.executor.store.migrations import VERSION
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Fn
from tests.executor.write_sample import FUNCTIONS, HOUR, MADE_AT, napper

pytestmark = pytest.mark.anyio

SAMPLES = {int(path.stem.split("_")[1]): path for path in (Path(__file__).parent / "databases").glob("schema_*.sql")}
"""By schema version; `write_sample.py` made them, each with the code of its time."""


@pytest.fixture(params=sorted(SAMPLES))
def version(request: pytest.FixtureRequest) -> int:
    """A schema version, from the first to the current one."""
    found: int = request.param
    return found


@pytest.fixture
def old_file(version: int, tmp_path: Path) -> Path:
    """A file of that version: a run that sleeps, one that waits, one that has ended, and a schedule."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(SAMPLES[version].read_text())
    connection.close()
    return path


def test_there_is_a_sample_of_every_schema_version() -> None:
    assert list(range(1, VERSION + 1)) == sorted(SAMPLES)


def _layout(path: Path) -> set[tuple[str, str, str]]:
    """Return (table, column, type) of every column, and every index and trigger."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")]
    columns = {(name, row[1], row[2] if len(row) > 3 else "") for name in names for row in _columns(connection, name)}
    triggers = {(*row, "") for row in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")}
    connection.close()
    return columns | triggers


def _columns(connection: sqlite3.Connection, name: str) -> list[Any]:
    return connection.execute(f"PRAGMA table_info({name!r})").fetchall() or [
        (0, f"{row[2]}") for row in connection.execute(f"PRAGMA index_info({name!r})")
    ]


async def test_a_migrated_file_has_the_tables_of_a_new_one(old_file: Path, tmp_path: Path) -> None:
    new_file = tmp_path / "new.db"
    for path in (old_file, new_file):
        open_database(str(path)).close()

    assert _layout(new_file) == _layout(old_file)


async def test_runs_of_an_older_file_go_on(old_file: Path, start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock(MADE_AT + 60), database=str(old_file)) as system:
        await system.idle()
        naps, waits, goes = [await system.events(f"test/{name}") for name in ("nap", "wait", "go")]
        await system.send("test/go", {"n": 2})
        await system.advance(HOUR)

        assert ("Completed", [1, "done"]) == await system.outcome(naps[0]["internal_id"])
        assert [("Completed", 2), ("Completed", 3)] == [await system.outcome(event["internal_id"]) for event in waits]
        assert 3 == goes[0]["data"]["n"]
        assert 1 == len(system.app.calls_of("waiter"))


@pytest.mark.parametrize("version", range(2, VERSION + 1))
async def test_what_flow_control_holds_in_an_older_file_starts(old_file: Path, start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock(MADE_AT + 60), database=str(old_file), backlog_limit=3) as system:
        waiting = await system.events("test/later")
        skipped = [await system.send("test/later", {"n": n}) for n in (6, 7)]
        await system.advance(HOUR)
        batched, debounced = await system.events("test/batch"), await system.events("test/debounce")

        assert [("Completed", [4, 5])] * 2 == [await system.outcome(one["internal_id"]) for one in batched]
        assert ("Completed", [5]) == await system.outcome(debounced[-1]["internal_id"])
        assert [("Completed", [4]), ("Completed", [5])] == [await system.outcome(one["internal_id"]) for one in waiting]
        # The two that waited in the file count: the next one is the third, and the last one too many.
        assert ["Completed", "Skipped"] == [(await system.outcome(one))[0] for one in skipped]


async def test_an_event_id_that_an_older_file_knows_starts_no_second_run(old_file: Path, start: StartSystem) -> None:
    function = Fn("napper", napper, [{"event": "test/nap"}])
    async with start(function, clock=VirtualClock(MADE_AT + 60), database=str(old_file)) as system:
        repeated = await system.send("test/nap", {"n": 1}, id="nap-1")
        await system.idle()

        assert [] == await system.runs(repeated)


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    version: int, old_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*migrations.MIGRATIONS[:-1], "CREATE TABLE half (a); CREATE TABLE half (a);")
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises(
        DatabaseError, match=f"cannot be migrated from schema {version} to {VERSION}: table half already"
    ):
        open_database(str(old_file))

    connection = sqlite3.connect(old_file)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'")]
    connection.close()

    assert (version, []) == (found, tables)


async def test_a_new_file_needs_no_migration_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "new.db")
    open_database(path).close()

    def refuse(*_: object) -> None:
        raise AssertionError("a current file was migrated")

    monkeypatch.setattr(database, "migrate", refuse)
    connection = open_database(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()

    assert VERSION == version
