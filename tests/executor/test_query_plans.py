"""What a working executor sends to SQLite finds its rows by an index, however many are stored."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.retention import Retention
from tests.executor.conftest import StartSystem
from tests.executor.crash_app import FUNCTIONS
from tests.executor.system import System

pytestmark = pytest.mark.anyio

SMALL = ("apps", "functions", "cancellations")
"""Tables that do not grow with the number of runs."""

QUERIES = [
    'eventsV2(first: 9, filter: {from: "2020-01-01T00:00:00Z", $}) {edges {node {id runs {id}}}}',
    'runs(filter: {from: "2020-01-01T00:00:00Z", $}, orderBy: []) {totalCount edges {node {id trace {name}}}}',
]
FILTERS = [
    (0, "includeInternalEvents: true"),
    (0, 'includeInternalEvents: false, eventNames: ["test/x", "test/w"]'),
    (0, "includeInternalEvents: false"),
    (1, "timeField: QUEUED_AT"),
    (1, "timeField: QUEUED_AT, status: [FAILED, SKIPPED]"),
    (1, "timeField: STARTED_AT, status: [RUNNING]"),
]
PATHS = [
    "/v1/events",
    "/v1/events?name=test/x",
    "/v2/runs?functionId=app-child&appId=app",
    "/v2/runs?timeField=ended_at",
]


async def work(system: System, clock: VirtualClock) -> None:
    """Let every kind of function run, wait, be called off, and be looked at."""
    letters = "xwifscdolknb"
    await system.http.post("/v1/functions/app-ticking/tick")
    for n in range(4):
        await system.http.post("/e/key", json=[{"name": f"test/{letter}", "data": {"n": n}} for letter in letters])
        await system.idle()
    (waiting,) = await system.runs((await system.events("test/c"))[0]["internal_id"])
    await system.http.delete(f"/v1/runs/{waiting['run_id']}")
    for n in range(4):
        await system.http.post("/v1/signals", json={"signal": f"s-{n}", "data": n})
        for name in ("go", "stop"):
            await system.send(f"test/{name}", {"n": n})
    for _ in range(8):
        await system.advance(2)
    for path in [*PATHS, f"/v1/runs/{waiting['run_id']}/jobs", f"/v2/runs/{waiting['run_id']}/trace"]:
        assert 200 == (await system.http.get(path)).status_code
    for query, given in FILTERS:
        text = "{" + QUERIES[query].replace("$", given) + "}"
        answer = await system.http.post("/v0/gql", json={"query": text})
        assert "errors" not in answer.json(), answer.text
    clock.advance(7200)
    await Retention(system.executor.store, clock, 60.0).sweep()
    await system.advance(0)


def excesses(connection: sqlite3.Connection, statement: str) -> list[str]:
    """Return the steps of a statement that read more the more is stored."""
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    sorts = [step for step in plan if step.endswith("TEMP B-TREE FOR ORDER BY")]
    if "LIMIT" in statement:
        # It reads as much as it returns, unless it has to sort.
        return sorts
    scans = [(step, re.match(r"SCAN (?:TABLE )?(\w+)", step)) for step in plan]
    return [step for step, match in scans if match and match[1] not in (*SMALL, "subquery")]


async def test_no_statement_reads_a_whole_table(start: StartSystem) -> None:
    clock = VirtualClock()
    statements: dict[str, str] = {}

    def note(statement: str) -> None:
        # The values are in the text; one of each shape is enough.
        statements.setdefault(re.sub(r"x?'(?:[^']|'')*'|\b[0-9.e+]+\b", "?", statement), statement)

    async with start(*FUNCTIONS, clock=clock) as system:
        await system.idle()
        store: Any = system.executor.store
        for connection in (store._connection, store._reader):
            connection.set_trace_callback(note)
        await work(system, clock)
        for connection in (store._connection, store._reader):
            connection.set_trace_callback(None)
        looked_at = [sql for sql in statements.values() if sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))]
        found = {sql: steps for sql in looked_at if (steps := excesses(store._connection, sql))}

        assert {} == found
        assert len(looked_at) > 80
