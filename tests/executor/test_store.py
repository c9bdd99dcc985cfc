"""The store on real files: transactions, group commit, leases, and files that cannot be used."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from stepserve_core.executor.decisions import StepRef
from stepserve_core.executor.progress import resolve_step
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.damage import DatabaseError
from stepserve_core.executor.store.database import open_database
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun
from stepserve_core.executor.store.steps import Timing
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.store.writer import StoreClosedError, ThreadWriter

pytestmark = pytest.mark.anyio

ITEM = QueueItem("run:start", "start", "run", "function", at=10.0, priority=10.0)


async def test_units_that_wait_share_one_commit(tmp_path: Path) -> None:
    connection = open_database(str(tmp_path / "x.db"))
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    writer = ThreadWriter(connection)
    first_runs = threading.Event()

    def block(_: Tables) -> None:
        first_runs.wait()

    first = writer.submit(block)
    await asyncio.sleep(0)
    others = [writer.submit(reserving(f"key-{n}")) for n in range(50)]
    first_runs.set()
    await asyncio.gather(first, *others)
    writer.close()
    connection.close()

    assert [True] * 50 == [other.result() for other in others]
    assert statements.count("COMMIT") <= 2


def reserving(key: str) -> Callable[[Tables], bool]:
    return lambda tables: tables.runs.reserve(key, "run", 0.0, 1.0)


async def test_a_unit_that_fails_is_undone_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "x.db"))

    def fail(tables: Tables) -> None:
        tables.runs.reserve("bad", "run", 0.0, 1.0)
        raise ValueError("no")

    results = await asyncio.gather(
        store.write(lambda tables: tables.runs.reserve("good", "run", 0.0, 1.0)),
        store.write(fail),
        store.write(lambda tables: tables.runs.reserve("bad", "other", 0.0, 1.0)),
        return_exceptions=True,
    )
    store.close()

    assert [True, "no", True] == [str(result) if isinstance(result, ValueError) else result for result in results]


async def test_what_was_submitted_before_closing_is_written_and_nothing_after(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    store = Store(path)
    pending = asyncio.ensure_future(store.write(lambda tables: tables.queue.add(ITEM, 0.0)))
    await asyncio.sleep(0)
    store.close()
    with pytest.raises(StoreClosedError):
        await store.write(lambda tables: tables.queue.next_due())
    reopened = Store(path)

    assert await pending is True
    assert 10.0 == await reopened.read(lambda tables: tables.queue.next_due())
    reopened.close()


async def test_a_second_process_cannot_open_the_same_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    store = Store(path)
    with pytest.raises(DatabaseError, match="in use by another process"):
        Store(path)
    store.close()
    Store(path).close()


def _run(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


def _age(path: Path) -> None:
    Store(str(path)).close()
    _run(path, "PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "is not a database of stepserve"),
        (lambda path: _run(path, "CREATE TABLE t (a)"), "is a database of another program"),
        (_age, "written by a newer version"),
    ],
    ids=["not a database", "another program's", "newer schema"],
)
async def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "x.db"
    make(path)
    before = path.read_bytes()

    with pytest.raises(DatabaseError, match=message):
        Store(str(path))
    assert before == path.read_bytes()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be opened"):
        Store(str(tmp_path / "file" / "x.db"))


@pytest.fixture
def tables(tmp_path: Path) -> Generator[Tables, None, None]:
    """Tables over a fresh file."""
    connection = open_database(str(tmp_path / "tables.db"))
    yield Tables(connection)
    connection.close()


async def test_an_item_is_queued_once(tables: Tables) -> None:
    assert (True, False) == (tables.queue.add(ITEM, 0.0), tables.queue.add(ITEM, 0.0))


async def test_an_item_is_claimed_once_and_only_its_claimer_can_finish_it(tables: Tables) -> None:
    tables.queue.add(ITEM, now=10.0)
    (claimed,) = tables.queue.claim(5, lease_until=40.0)

    assert [] == tables.queue.claim(5, lease_until=40.0)
    assert [] == tables.queue.expire_leases(39.0)
    assert [ITEM.id] == tables.queue.expire_leases(40.0)
    (again,) = tables.queue.claim(5, lease_until=70.0)
    assert not tables.queue.finish(ITEM.id, claimed.generation)
    assert tables.queue.finish(ITEM.id, again.generation)


async def test_ready_items_go_in_order_of_priority_and_waiting_ones_not_at_all(tables: Tables) -> None:
    for name, at, priority in [("young", 5.0, 5.0), ("old", 5.0, 1.0), ("later", 11.0, 0.0)]:
        tables.queue.add(QueueItem(f"{name}:start", "start", name, "f", at, priority), now=10.0)

    assert ["old", "young"] == [item.run_id for item in tables.queue.claim(5, 40.0)]
    assert 11.0 == tables.queue.next_due()


async def test_after_a_restart_as_many_go_on_as_slots_are_free_again_and_one_for_each_key(tables: Tables) -> None:
    for name, key in [
        ("a", "two"),
        ("b", "two"),
        ("c", "two"),
        ("d", "two"),
        ("e", "two"),
        ("f", "none"),
        ("g", "none"),
    ]:
        tables.queue.add(QueueItem(f"{name}:start", "start", name, "f", 5.0, 5.0), now=10.0)
        if name in "ab":
            (item,) = tables.queue.claim(1, 40.0)
            tables.slots.take(item.id, [key])
        else:
            tables.slots.block(f"{name}:start", key)
    tables.slots.take("x:run", ["whole"])
    tables.slots.clear()

    assert ["c", "d", "f"] == sorted(item.run_id for item in tables.queue.claim(10, 40.0))
    assert (0, 1) == (tables.slots.held("two"), tables.slots.held("whole"))


async def test_an_idempotency_key_is_free_again_after_its_window(tables: Tables) -> None:
    assert tables.runs.reserve("key", "first", now=0.0, expires_at=100.0)
    assert not tables.runs.reserve("key", "second", now=99.0, expires_at=199.0)
    assert tables.runs.reserve("key", "third", now=100.0, expires_at=200.0)


STEP = StepRef("aa", "a", "StepRun")


async def test_the_first_memo_of_a_step_stays_and_counts_once(tables: Tables) -> None:
    tables.runs.add(NewRun("run", "function", 1, 1, queued_at=0.0, rank=0.0))
    timing = Timing(0.0, 1.0, 2.0)

    assert tables.steps.record("run", STEP, b"1", "Completed", timing)
    assert not tables.steps.record("run", STEP, b"2", "Completed", timing)
    assert not tables.steps.resolve("run", "aa", b"3", "Completed", 3.0)
    assert [("aa", b"1", 0)] == tables.steps.memos("run")
    facts = tables.runs.facts("run")
    assert facts is not None
    assert (1, 1) == (facts.step_count, facts.state_size)


async def test_the_stack_has_the_order_in_which_steps_finished(tables: Tables) -> None:
    tables.runs.add(NewRun("run", "function", 1, 1, queued_at=0.0, rank=0.0))
    for name in ("cc", "aa", "bb"):
        tables.steps.open("run", StepRef(name, name, "Sleep"), "Sleeping", 0.0)
    for name in ("bb", "cc", "aa"):
        tables.steps.resolve("run", name, b"null", "Completed", 1.0)

    assert [("aa", 2), ("bb", 0), ("cc", 1)] == [(name, position) for name, _, position in tables.steps.memos("run")]


async def test_nothing_that_comes_late_changes_a_run_that_has_ended(tables: Tables) -> None:
    tables.runs.add(NewRun("run", "function", 1, 1, queued_at=0.0, rank=0.0))
    tables.steps.open("run", STEP, "Waiting", 0.0)
    assert tables.runs.end("run", "Cancelled", b"null", 1.0)
    resolve_step(Scope(tables, Registry(), 2.0), "run", "aa", b"1")

    assert [] == tables.steps.memos("run")
    assert [] == tables.queue.claim(10, 30.0)
    assert not tables.runs.end("run", "Completed", b"1", 3.0)


HOT = [
    "SELECT rank FROM queue WHERE state = 0 ORDER BY rank LIMIT 1",
    "SELECT id FROM queue WHERE state = 0 AND rank <= 1 ORDER BY rank LIMIT 200",
    "SELECT id FROM queue WHERE state = 1 ORDER BY rank LIMIT 100",
    "UPDATE queue SET state = 1 WHERE state = 2 AND rank <= 1",
    "SELECT id FROM queue WHERE blocked_on = 'k' ORDER BY rank LIMIT 1",
    "DELETE FROM queue WHERE id >= 'r:' AND id < 'r;'",
    "SELECT count(*) FROM slots WHERE key = 'k'",
    "DELETE FROM slots WHERE item = 'i'",
    "SELECT * FROM runs r JOIN events e ON e.seq = r.event_seq WHERE r.id = 'r' AND r.ended_at IS NULL",
    "SELECT hash FROM steps WHERE run_id = 'r' AND memo IS NOT NULL ORDER BY hash",
    "SELECT * FROM pauses WHERE event_name = 'e' ORDER BY rowid",
    "SELECT match_path FROM pauses WHERE event_name = 'e' AND match_path > '' ORDER BY match_path LIMIT 1",
    "SELECT rowid FROM pauses WHERE event_name = 'e' AND match_path = 'p' AND match_value = 'v'",
    "SELECT starts FROM backlogs WHERE function_id = 'f'",
    "SELECT id, batch_id FROM runs WHERE ended_at < 1 ORDER BY ended_at LIMIT 200",
    "SELECT id FROM batches WHERE function_id = 'f' AND key = 'k' AND run_id IS NULL",
    "SELECT 1 FROM batch_events WHERE internal_id = 'i' AND function_id = 'f' AND added_at > 1",
    "DELETE FROM gcra WHERE key IN (SELECT key FROM gcra WHERE tat <= 1 LIMIT 1000)",
    "DELETE FROM pauses WHERE correlation_id = 'c'",
    "DELETE FROM pauses WHERE run_id = 'r'",
    "SELECT seq FROM events WHERE name = 'n' AND seq > 1 ORDER BY seq",
    "SELECT seq FROM events ORDER BY seq DESC LIMIT 1",
    "SELECT r.id FROM runs r JOIN events e ON e.seq = r.event_seq WHERE e.internal_id = 'i'",
    "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= 1 LIMIT 1000)",
]


@pytest.mark.parametrize("sql", HOT)
async def test_no_statement_of_the_hot_path_reads_a_whole_table(tmp_path: Path, sql: str) -> None:
    connection = open_database(str(tmp_path / "plan.db"))
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    connection.close()

    assert [] == [line for line in plan if line.startswith("SCAN") and "seq DESC" not in sql], plan
