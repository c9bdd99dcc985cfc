"""A server that is killed in the middle of its work: nothing accepted is lost, no memoised step runs again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core._protocol import Response
from tests.executor.raw_app import Call, Fn, RawApp, invoke, replay, run, served, sleep, wait

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
RUNS, KILLS = 60, 6


def pipeline(call: Call) -> Steps:
    number = call.event["data"]["n"]
    first = yield run("first", number)
    yield sleep("nap", "20ms")
    parts = yield [run(f"part-{name}", name) for name in "abc"]
    child = yield invoke("child", "app-child", {"n": first})
    return [first, "".join(parts), child]


def child(call: Call) -> Steps:
    return (yield run("double", call.event["data"]["n"] * 2))


def waiter(call: Call) -> Steps:
    event = yield wait("go", "test/go", "1h", "async.data.n == event.data.n")
    return event["data"]["n"]


def number_of(call: Call) -> Steps:
    return (yield run("number", call.event["data"]["n"]))


def numbers_of(call: Call) -> Steps:
    return (yield run("numbers", [event["data"]["n"] for event in call.body["events"]]))


FLOW = [
    Fn("batched", numbers_of, [{"event": "test/b"}], options={"batchEvents": {"maxSize": 4, "timeout": "1s"}}),
    Fn("debounced", number_of, [{"event": "test/d"}], options={"debounce": {"period": "1s", "key": "event.data.n"}}),
    Fn("once", number_of, [{"event": "test/o"}], options={"idempotency": "event.data.n"}),
    Fn(
        "limited",
        pipeline,
        [{"event": "test/l"}],
        options={
            "throttle": {"limit": 20, "period": "1s", "burst": 5},
            "concurrency": {"fn": [{"limit": 8}], "step": [{"limit": 3}]},
            "singleton": {"mode": "skip", "key": "event.data.n"},
            "timeouts": {"start": "10m", "finish": "10m"},
            "priority": {"run": "int(event.data.n)"},
        },
    ),
]


class Witness(RawApp):
    """An app that notices when a step is executed although it had its memo before."""

    def __init__(self, functions: list[Fn]) -> None:
        super().__init__(functions)
        self.memoised: dict[str, set[str]] = {}
        self.violations: list[tuple[str, str]] = []

    def watch(self, script: Any) -> Any:
        def answer(call: Call) -> Response:
            known = self.memoised.setdefault(call.body["ctx"]["run_id"], set())
            known.update(call.memos)
            lost = known - set(call.memos)
            self.violations += [(call.function, step) for step in lost]
            if call.target in known:
                self.violations.append((call.function, f"{call.target} again"))
            return replay(script, call)

        return answer


class Server:
    """The process that is killed."""

    def __init__(self, database: Path, port: int) -> None:
        self._arguments = [str(database), str(port)]
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        module = [sys.executable, "-m", "tests.executor.crash_server"]
        self._process = await asyncio.create_subprocess_exec(
            *module, *self._arguments, stdout=asyncio.subprocess.PIPE, env=environment
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()

        assert line.startswith(b"http://")

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return await self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_after_kills_at_random_moments_every_run_ends_and_no_memo_is_lost(tmp_path: Path) -> None:
    server = Server(tmp_path / "crash.db", free_port())
    app = Witness(
        [
            Fn("pipeline", pipeline, [{"event": "test/x"}]),
            Fn("child", child),
            Fn("waiter", waiter, [{"event": "test/w"}]),
            *FLOW,
        ]
    )
    for fn in app.functions:
        app.replies[fn.id] = app.watch(fn.script)
    chance = random.Random(20240517)
    accepted: dict[str, Any] = {}
    batched: dict[str, int] = {}
    repeated: list[str] = []
    async with served(app) as origin:
        app.url, app.api = f"{origin}/api/inngest", server.url
        await server.start()
        async with httpx.AsyncClient(base_url=server.url, timeout=5) as http:
            await http.post("/fn/register", json=app.registration())
            numbers = iter(range(RUNS))
            for kill in range(KILLS + 1):
                for _, n in zip(range(RUNS // KILLS), numbers, strict=False):
                    results = {"x": [n, "abc", n * 2], "w": n, "d": n, "o": n, "l": [n, "abc", n * 2]}
                    events = [{"name": f"test/{name}", "data": {"n": n}} for name in [*results, "b", "o"]]
                    *ids, in_batch, again = (await http.post("/e/key", json=events)).json()["ids"]
                    accepted.update(zip(ids, results.values(), strict=True))
                    batched[in_batch] = n
                    repeated.append(again)
                if kill < KILLS:
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                    await server.end(signal.SIGKILL)
                    await server.start()
            for n in range(RUNS):
                await http.post("/e/key", json={"name": "test/go", "data": {"n": n}})
            outcomes = {event_id: await _outcome(http, event_id) for event_id in accepted}
            batches = {event_id: await _outcome(http, event_id) for event_id in batched}
            second_runs = [await _runs(http, event_id) for event_id in repeated]
        status = await server.end(signal.SIGTERM)

    assert {event_id: ("Completed", expected) for event_id, expected in accepted.items()} == outcomes
    # Every event is in one batch, and is once in it.
    assert dict.fromkeys(batched, "Completed") == {
        event_id: status for event_id, (status, numbers) in batches.items() if numbers.count(batched[event_id]) == 1
    }
    assert [[]] * RUNS == second_runs
    assert Counter() == Counter(app.violations)
    assert (0, {}) == (status, _left_behind(tmp_path / "crash.db"))


async def _outcome(http: httpx.AsyncClient, event_id: str) -> tuple[str, Any]:
    """Wait for the end of the only run of an event; debounced and batched ones begin later."""
    while True:
        runs = await _runs(http, event_id)
        if runs and runs[0]["ended_at"] is not None:
            (found,) = runs
            return found["status"], found["output"]
        await asyncio.sleep(0.02)


async def _runs(http: httpx.AsyncClient, event_id: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = (await http.get(f"/v1/events/{event_id}/runs")).json()["data"]
    return runs


def _left_behind(database: Path) -> dict[str, int]:
    """Count what may be left of no run that has ended: queue items, slots, locks, pauses, open batches."""
    connection = sqlite3.connect(database)
    open_batches = "SELECT count(*) FROM batches WHERE run_id IS NULL"
    counts = {name: f"SELECT count(*) FROM {name}" for name in ("queue", "slots", "singletons", "pauses")}
    found = {name: connection.execute(sql).fetchone()[0] for name, sql in {**counts, "batches": open_batches}.items()}
    connection.close()
    return {name: count for name, count in found.items() if count}


async def test_sigterm_ends_the_server_and_a_restart_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "term.db", free_port())
    app = RawApp([Fn("waiter", waiter, [{"event": "test/w"}])])
    async with served(app) as origin:
        app.url, app.api = f"{origin}/api/inngest", server.url
        await server.start()
        async with httpx.AsyncClient(base_url=server.url, timeout=5) as http:
            await http.post("/fn/register", json=app.registration())
            ids = (await http.post("/e/key", json={"name": "test/w", "data": {"n": 1}})).json()["ids"]
            status = await server.end(signal.SIGTERM)
            await server.start()
            await http.post("/e/key", json={"name": "test/go", "data": {"n": 1}})

            assert 0 == status
            assert ("Completed", 1) == await _outcome(http, ids[0])
        await server.end(signal.SIGTERM)
