"""The embedded executor calls functions of the official SDKs' workers over Connect.

Time is virtual for the executor, but not for sockets.
"""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.connect.intervals import Intervals
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.raw_app import RawApp
from tests.executor.system import System
from tests.peers.apps import PATIENCE, WORKERS, missing, worker
from tests.peers.test_official_sdks import PLAIN

pytestmark = pytest.mark.anyio

QUICK = Intervals(heartbeat=10.0, extend=1.0, lease=3.0)
"""The official Python SDK reads whole seconds only."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@asynccontextmanager
async def served(**settings: Any) -> AsyncGenerator[System, None]:
    """Run an executor that no app is connected to yet."""
    clock = VirtualClock(time.time() + 60)
    defaults: dict[str, Any] = {"port": 0, "poll": False, "retry_interval": 0.0, "grace": 0.5}
    config = ServerConfig(**{**defaults, **settings})
    async with (
        serving(config, clock=clock) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE) as http,
    ):
        server.executor.workers.intervals = QUICK
        yield System(RawApp([]), server.executor, http, clock, config.database)


async def until(condition: Callable[[], object], process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        await asyncio.sleep(0.01)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Ask a worker to leave and return its exit code; the executor has to hear of it meanwhile."""
    process.terminate()
    return await asyncio.to_thread(process.wait, PATIENCE)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in WORKERS])
async def connected(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[System, None]:
    """Run an executor and a worker of an official SDK, for all tests of it."""
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    log = tmp_path_factory.mktemp("worker") / "log"
    async with served() as system:
        with worker(request.param, str(system.http.base_url), log) as process:
            await until(lambda: system.executor.workers.choose("peer-steps"), process, log)
            yield system
            await ended(process)

    assert [] == system.executor.workers.all()


@pytest.mark.parametrize("name", PLAIN)
async def test_a_function_ends_with_its_output(connected: System, name: str) -> None:
    assert ("Completed", PLAIN[name]) == await connected.outcome(await connected.send(f"peer/{name}"))


async def test_steps_pass_on_what_they_return(connected: System) -> None:
    outcome = await connected.outcome(await connected.send("peer/steps", {"number": 20}))

    assert ("Completed", {"doubled": 40, "increased": 41, "text": "é\u2028ß😀"}) == outcome


async def test_a_step_is_tried_again_when_it_asks_for_it(connected: System) -> None:
    event_id = await connected.send("peer/retried")
    await connected.idle()
    await connected.advance(60)

    assert ("Completed", "attempt 1") == await connected.outcome(event_id)


async def test_the_failure_handler_hears_of_the_error(connected: System) -> None:
    status, output = await connected.outcome(await connected.send("peer/failed"))
    (heard,) = await connected.events("peer/heard")

    assert ("Failed", "boom", "boom") == (status, output["message"], heard["data"]["message"])


async def test_a_run_sleeps_and_waits_for_events(connected: System) -> None:
    slept = await connected.send("peer/slept")
    waited = await connected.send("peer/waited", {"key": 7})
    await connected.idle()
    await connected.send("peer/answer", {"key": 7, "value": "right"})
    await connected.idle()
    await connected.advance(3600)

    assert ("Completed", "woken") == await connected.outcome(slept)
    assert ("Completed", {"found": "right", "none": None}) == await connected.outcome(waited)


@pytest.mark.parametrize("peer", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in WORKERS])
async def test_a_call_whose_worker_is_killed_is_made_again_by_another_one(peer: str, tmp_path: pathlib.Path) -> None:
    reason = missing(peer)
    if reason is not None:
        pytest.skip(reason)
    log = tmp_path / "log"
    async with served() as system:
        origin = str(system.http.base_url)
        with worker(peer, origin, log) as killed:
            await until(lambda: system.executor.workers.choose("peer-killed"), killed, log)
            event_id = await system.send("peer/killed")
            assert -9 == await asyncio.to_thread(killed.wait, PATIENCE)
        with worker(peer, origin, log) as process:
            await until(lambda: system.executor.workers.choose("peer-killed"), process, log)
            outcome = await system.outcome(event_id)
            await ended(process)

    assert ("Completed", "attempt 1") == outcome


async def test_the_official_worker_connects_anew_when_the_server_is_started_anew(tmp_path: pathlib.Path) -> None:
    reason = missing("Python")
    if reason is not None:
        pytest.skip(reason)
    log, database = tmp_path / "log", str(tmp_path / "runs.db")
    stack = ExitStack()
    async with served(database=database) as system:
        origin, port = str(system.http.base_url), system.http.base_url.port
        process = stack.enter_context(worker("Python", origin, log))
        await until(lambda: system.executor.workers.choose("peer-slept"), process, log)
        event_id = await system.send("peer/slept")
        before = await system.outcome(event_id)
    async with served(database=database, port=port) as system:
        await until(lambda: system.executor.workers.choose("peer-slept"), process, log)
        await system.advance(3600)
        after = await system.outcome(event_id)
        await ended(process)

    assert ["Running", "Completed"] == [before[0], after[0]]
