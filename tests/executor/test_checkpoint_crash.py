"""App or server are killed while functions checkpoint: every run ends, what was saved is never lost or run again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.executor.crash_sdk_app import STEPS
from tests.executor.test_crash import free_port

pytestmark = pytest.mark.anyio
RUNS, KILLS = 12, 4


class Killed:
    """A process that is killed and started again."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", f"tests.executor.{module}", *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=pipe, env=environment)
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()

        assert line.startswith(b"http://")

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return await self._process.wait()


async def test_after_kills_of_app_and_server_no_saved_step_is_lost_or_executed_again(tmp_path: Path) -> None:
    port, app_port, journal = free_port(), free_port(), tmp_path / "journal"
    url = f"http://127.0.0.1:{port}"
    server = Killed("crash_server", str(tmp_path / "crash.db"), str(port), "0.3")
    app = Killed("crash_sdk_app", str(app_port), url, str(journal))
    chance = random.Random(20261123)
    expected: dict[str, list[int]] = {}
    await asyncio.gather(server.start(), app.start())
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        synced = await http.put(f"http://127.0.0.1:{app_port}/api/inngest")

        assert 200 == synced.status_code, synced.text
        for kill in range(KILLS):
            for n in range(RUNS // KILLS):
                for name in ("each", "batch"):
                    answer = await http.post("/e/key", json={"name": f"test/{name}", "data": {"n": n}})
                    expected[answer.json()["ids"][0]] = [*range(STEPS), n]
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            victim = (app, server)[kill % 2]
            await victim.end(signal.SIGKILL)
            await victim.start()
        outcomes = {event_id: await _outcome(http, event_id) for event_id in expected}
    await app.end(signal.SIGKILL)
    await server.end(signal.SIGTERM)

    assert {event_id: ("Completed", output) for event_id, output in expected.items()} == outcomes
    assert [] == _violations(journal.read_text().splitlines())


async def _outcome(http: httpx.AsyncClient, event_id: str) -> tuple[str, Any]:
    while True:
        (run,) = (await http.get(f"/v1/events/{event_id}/runs")).json()["data"]
        if run["ended_at"] is not None:
            return run["status"], run["output"]
        await asyncio.sleep(0.05)


def _violations(lines: list[str]) -> list[str]:
    """Return lines that show a saved step that a later call did not bring, or that was executed again."""
    saved: dict[str, set[str]] = {}
    wrong: list[str] = []
    for line in lines:
        kind, run_id, *hashes = line.split()
        known = saved.setdefault(run_id, set())
        is_lost = kind == "call" and not known <= set(hashes)
        is_repeated = kind == "step" and known & set(hashes)
        wrong += [line] if is_lost or is_repeated else []
        if kind != "step":
            known.update(hashes)
    return wrong
