"""A server that is killed in the middle of its work: nothing accepted is lost, no memoised step runs again.

`STEPSERVE_CRASH_KILLS` is how many times (6), `STEPSERVE_CRASH_SEED` what decides the moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import random
import signal
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.executor.crash_app import outcomes, waiter
from tests.executor.crash_witness import Witness
from tests.executor.raw_app import Fn, RawApp, served
from tests.resending import send_until_answered

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("STEPSERVE_CRASH_KILLS", "6"))
SEED = int(os.environ.get("STEPSERVE_CRASH_SEED", "20240517"))
LETTERS = {
    "x": "pipeline",
    "w": "waiter",
    "i": "impatient",
    "f": "flaky",
    "s": "signalled",
    "c": "stuck",
    "d": "debounced",
    "o": "once",
    "l": "limited",
    "k": "keyed",
    "n": "newest",
    "e": "deferring",
    "g": "fetching",
    "u": "bulky",
    "p": "saving",
}
"""The last letter of an event's name to the function that it starts."""


class Server:
    """The process that is killed."""

    def __init__(self, database: Path, port: int) -> None:
        self._arguments = [str(database), str(port)]
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, patience: float | None = None) -> None:
        """Start it, and wait until it listens, or `patience` seconds."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        module = [sys.executable, "-m", "tests.executor.crash_server"]
        self._process = await asyncio.create_subprocess_exec(
            *module, *self._arguments, stdout=asyncio.subprocess.PIPE, env=environment
        )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), patience)
        except asyncio.TimeoutError:
            return

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


class Feed:
    """Sends events without end while the server dies and comes back. What gets no answer is sent again, unchanged."""

    def __init__(self, http: httpx.AsyncClient, chance: random.Random) -> None:
        self._http = http
        self._chance = chance
        self.sent = 0
        """How many numbers were accepted; they count from 0."""
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            await self._send(self.sent)
            self.sent += 1
            with contextlib.suppress(httpx.HTTPError):
                await self._http.post("/v1/functions/app-ticking/tick")
                await self.signal(self.sent - 3)
                await self.call_off(f"event.data.n <= {self.sent - 3}")
            await asyncio.sleep(self._chance.uniform(0.0, 0.15))

    async def _send(self, n: int) -> None:
        letters = [*LETTERS, "b"]
        events = [{"name": f"test/{letter}", "id": f"{letter}-{n}", "data": {"n": n}} for letter in letters]
        events.append({"name": "test/o", "id": f"again-{n}", "data": {"n": n}})
        events += [{"name": f"test/{name}", "data": {"n": n - 3}} for name in ("go", "stop")]
        answer = await send_until_answered(self._http, "/e/key", events, n)

        assert 200 == answer.status_code, answer.text

    async def signal(self, n: int) -> None:
        """Give the run of a number its signal; nobody waits for it where it was given before."""
        await self._http.post("/v1/signals", json={"signal": f"s-{n}", "data": n})

    async def release(self, n: int) -> None:
        """Send everything that runs of a number may wait for."""
        await self._http.post("/e/key", json=[{"name": f"test/{name}", "data": {"n": n}} for name in ("go", "stop")])
        await self.signal(n)
        await self.call_off(f"event.data.n == {n}")

    async def call_off(self, expression: str) -> None:
        """Cancel runs in bulk; those that were cancelled before are passed over."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        body = {"app_id": "app", "function_id": "bulky", "started_before": now, "if": expression}
        await self._http.post("/v1/cancellations", json=body)


async def test_after_kills_at_random_moments_every_run_ends_and_no_memo_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "crash.db"
    server = Server(path, free_port())
    chance = random.Random(SEED)
    http = httpx.AsyncClient(base_url=server.url, timeout=60)
    app = Witness(http)
    async with http, served(app) as origin:
        app.url, app.api = f"{origin}/api/inngest", server.url
        await server.start()
        await http.post("/fn/register", json=app.registration())
        feed = Feed(http, chance)
        feeding = asyncio.create_task(feed.run())
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            await server.end(signal.SIGKILL)
            # One in five dies again while it starts.
            await server.start(chance.uniform(0.1, 0.6) if chance.random() < 0.2 else None)
        await server.end(signal.SIGKILL)
        await server.start()
        feed.stopping = True
        await feeding
        # Debounced events and open batches have no run yet, but an item in the queue.
        while (waiting := _read(path, WAITING)) or _read(path, LEFT["queue"]) != [(0,)]:
            numbers: set[int] = {json.loads(body)["data"].get("n", 0) for (body,) in waiting}
            # Runs of negative numbers are there to be waited for in vain, until nobody waits for them any more.
            for n in {n for n in numbers if n >= 0} or numbers:
                await feed.release(n)
            await asyncio.sleep(0.5)
        status = await server.end(signal.SIGTERM)

    sent = range(feed.sent)
    by_letter = {number: outcomes(number, feed.sent - 1) for number in sent}
    expected = {f"{letter}-{n}": by_letter[n][name] for letter, name in LETTERS.items() for n in sent}
    assert expected == _outcomes(path)
    # Every event is in one batch, and is once in it.
    assert list(sent) == sorted(n for batch in _read(path, BATCHES) for n in json.loads(batch[0]))
    # Every run that deferred two functions and took one back has started one.
    assert list(sent) == sorted(n for (output,) in _read(path, DEFERRED) for n in [json.loads(output)])
    assert [] == app.violations
    assert (0, {}) == (status, _left_behind(path))
    # One tick waits, and those before it fired once each: the first days of consecutive years.
    years = [int(text[:4]) for (text,) in _read(path, TICKS)]
    assert list(range(years[0], years[0] + len(years))) == years
    assert [("ok",)] == _read(path, "PRAGMA integrity_check")


DEFERRED = "SELECT r.output FROM runs r JOIN functions f ON f.id = r.function_id WHERE f.slug = 'app-deferred'"
OUTCOMES = (
    "SELECT e.external_id, r.status, CASE r.status WHEN 'Completed' THEN r.output END FROM runs r"
    " JOIN events e ON e.seq = r.event_seq JOIN functions f ON f.id = r.function_id"
    " WHERE f.slug NOT IN ('app-child', 'app-batched', 'app-ticking') AND e.name NOT LIKE 'inngest/%'"
)
BATCHES = "SELECT r.output FROM runs r JOIN functions f ON f.id = r.function_id WHERE f.slug = 'app-batched'"
TICKS = (
    "SELECT e.external_id FROM runs r JOIN events e ON e.seq = r.event_seq WHERE r.cron IS NOT NULL"
    " ORDER BY e.external_id"
)
LEFT = {
    "queue": "SELECT count(*) FROM queue WHERE kind != 'cron'",
    "more or less than one tick": "SELECT count(*) != 1 FROM queue WHERE kind = 'cron'",
    "bulk cancellations": "SELECT count(*) FROM cancellations WHERE finished_at IS NULL",
    "open batches": "SELECT count(*) FROM batches WHERE run_id IS NULL",
    "runs whose steps are miscounted": "SELECT count(*) FROM runs r WHERE step_count !="
    " (SELECT count(*) FROM steps s WHERE s.run_id = r.id AND s.memo IS NOT NULL)",
    **{table: f"SELECT count(*) FROM {table}" for table in ("slots", "singletons", "pauses", "pending")},
}
WAITING = "SELECT e.body FROM runs r JOIN events e ON e.seq = r.event_seq WHERE r.ended_at IS NULL"
"""The events of runs that have not ended."""


def _read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def _outcomes(path: Path) -> dict[str, tuple[str, Any]]:
    """Return status and output of the run of every event; a second run of one would stand beside it."""
    found: dict[str, tuple[str, Any]] = {}
    for event_id, status, output in _read(path, OUTCOMES):
        name = event_id if event_id not in found else f"{event_id} once more"
        found[name] = (status, None if output is None else json.loads(output))
    return found


def _left_behind(path: Path) -> dict[str, int]:
    """Count what may be left of no run that has ended."""
    counts = {name: _read(path, sql)[0][0] for name, sql in LEFT.items()}
    return {name: count for name, count in counts.items() if count}


async def test_sigterm_ends_the_server_and_a_restart_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "term.db", free_port())
    app = RawApp([Fn("waiter", waiter, [{"event": "test/w"}])])
    async with served(app) as origin:
        app.url, app.api = f"{origin}/api/inngest", server.url
        await server.start()
        async with httpx.AsyncClient(base_url=server.url, timeout=5) as http:
            await http.post("/fn/register", json=app.registration())
            await http.post("/e/key", json={"name": "test/w", "id": "w-1", "data": {"n": 1}})
            status = await server.end(signal.SIGTERM)
            await server.start()
            await http.post("/e/key", json={"name": "test/go", "data": {"n": 1}})
            while _read(tmp_path / "term.db", WAITING):
                await asyncio.sleep(0.02)
        await server.end(signal.SIGTERM)

    assert 0 == status
    assert {"w-1": ("Completed", 1)} == _outcomes(tmp_path / "term.db")
