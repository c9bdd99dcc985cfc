"""Workers and servers that are killed in the middle of a call: nothing is lost, no memoised step runs again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core.executor.connect.intervals import Intervals
from tests.cli.command import environment
from tests.connect.conftest import Serve, Served
from tests.executor.test_crash import Server, free_port

pytestmark = pytest.mark.anyio

ROOT = str(Path(__file__).parents[2])


@contextmanager
def worker(url: str, notes: Path) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run a worker that does not outlive the block."""
    variables = environment(INNGEST_DEV=url, PYTHONWARNINGS="error")
    variables["PYTHONPATH"] += f":{ROOT}"
    with subprocess.Popen([sys.executable, "-m", "tests.connect.worker_process", str(notes)], env=variables) as process:
        try:
            yield process
        finally:
            process.kill()


async def noted(notes: Path, line: str, count: int = 1) -> None:
    """Wait until a worker has written a line, so many times."""
    while not notes.exists() or notes.read_text().splitlines().count(line) < count:
        await asyncio.sleep(0.01)


async def ended(system: Served, event_id: str) -> tuple[str, Any]:
    while (outcome := await system.outcome(event_id))[0] == "Running":
        await asyncio.sleep(0.01)
    return outcome


async def test_a_call_whose_worker_is_killed_is_made_again_by_the_next_one(serve: Serve, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with serve(Intervals(lease=1.5, extend=0.2, ack=1.5)) as system:
        with worker(system.server.url, notes) as killed:
            while system.executor.workers.choose("app-f") is None:
                await asyncio.sleep(0.01)
            event_id = await system.send("test/x")
            await noted(notes, "begun 0")
            killed.kill()
            await asyncio.to_thread(killed.wait)
        notes.with_suffix(".go").touch()
        with worker(system.server.url, notes):
            outcome = await asyncio.wait_for(ended(system, event_id), 30)

    assert ("Completed", [None, 0, "last"]) == outcome
    assert 1 == notes.read_text().splitlines().count("first")


async def test_sigterm_finishes_the_call_under_way(serve: Serve, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with serve() as system:
        with worker(system.server.url, notes) as stopped:
            while system.executor.workers.choose("app-f") is None:
                await asyncio.sleep(0.01)
            event_id = await system.send("test/x")
            await noted(notes, "begun 0")
            stopped.send_signal(signal.SIGTERM)
            while system.executor.workers.choose("app-f") is not None:
                await asyncio.sleep(0.01)
            notes.with_suffix(".go").touch()
            code = await asyncio.to_thread(stopped.wait, 30)
        status = (await system.outcome(event_id))[0]
        with worker(system.server.url, notes):
            outcome = await asyncio.wait_for(ended(system, event_id), 30)

    assert (0, "Running", ("Completed", [None, 0, "last"])) == (code, status, outcome)
    assert "ended" in notes.read_text().splitlines()
    assert 1 == notes.read_text().splitlines().count("first")


async def test_a_server_that_is_killed_loses_nothing_and_its_worker_comes_back(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    server = Server(tmp_path / "runs.db", free_port())
    await server.start()
    with worker(server.url, notes) as process:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
            while not (await http.get("/v0/connect/envs/any/conns")).json()["data"]:
                await asyncio.sleep(0.01)
            sent = await http.post("/e/key", json={"name": "test/x", "data": {}})
            await noted(notes, "begun 0")
            await server.end(signal.SIGKILL)
            await server.start()
            notes.with_suffix(".go").touch()
            runs: list[Any] = []
            while not runs or runs[0]["status"] == "Running":
                runs = (await http.get(f"/v1/events/{sent.json()['ids'][0]}/runs")).json()["data"]
                await asyncio.sleep(0.02)
            process.terminate()
            assert 0 == await asyncio.to_thread(process.wait, 30)
    await server.end(signal.SIGTERM)

    assert ["Completed"] == [run["status"] for run in runs]
    assert 1 == notes.read_text().splitlines().count("first")
