"""The embedded executor runs functions of the official SDKs, in Python and in TypeScript, each in its own process.

Time is virtual for the executor: sleeps and timeouts take none.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.raw_app import RawApp
from tests.executor.system import System
from tests.peers.apps import COMMANDS, PATIENCE, missing, started

pytestmark = pytest.mark.anyio
Start = Callable[[], AbstractAsyncContextManager[System]]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in COMMANDS])
def start(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Start:
    """Start an app of an official SDK and an executor that it has synced with."""
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    log = tmp_path / "app.log"

    @asynccontextmanager
    async def start_peer() -> AsyncGenerator[System, None]:
        # Apps date their events by the real clock; what lies in the future of the executor's would wait.
        clock = VirtualClock(time.time() + 60)
        config = ServerConfig(port=0, poll=False, retry_interval=0.0, database=str(tmp_path / "runs.db"))
        async with (
            serving(config, clock=clock) as server,
            started(request.param, server.url, log) as url,
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE) as http,
        ):
            synced = await http.put(url)

            assert 200 == synced.status_code, (synced.text, log.read_text())
            yield System(RawApp([]), server.executor, http, clock, config.database)

    return start_peer


async def test_steps_pass_on_what_they_return(start: Start) -> None:
    async with start() as system:
        outcome = await system.outcome(await system.send("peer/steps", {"number": 20}))

    assert ("Completed", {"doubled": 40, "increased": 41, "text": "é\u2028ß😀"}) == outcome


PLAIN = {
    "none": "no steps",
    "repeated": [0, 1, 2],
    "caught": "caught: no good",
    "invoked": {"good": "hello world", "bad": "caught: bad child"},
    "parallel": 55,
    "branches": ["aa", "bb", "cc"],
    "sent": 2,
    "large": 6_000_000,
}
"""What functions return that need nothing but their event."""


@pytest.mark.parametrize("name", PLAIN)
async def test_a_function_ends_with_its_output(start: Start, name: str) -> None:
    async with start() as system:
        outcome = await system.outcome(await system.send(f"peer/{name}"))

    assert ("Completed", PLAIN[name]) == outcome


async def test_a_step_is_tried_again_when_it_asks_for_it(start: Start) -> None:
    async with start() as system:
        event_id = await system.send("peer/retried")
        await system.idle()
        await system.advance(60)
        outcome = await system.outcome(event_id)

    assert ("Completed", "attempt 1") == outcome


async def test_the_failure_handler_hears_of_the_error(start: Start) -> None:
    async with start() as system:
        status, output = await system.outcome(await system.send("peer/failed"))
        (heard,) = await system.events("peer/heard")

    assert ("Failed", "boom") == (status, output["message"])
    assert {"message": "boom", "original": "peer/failed"} == heard["data"]


async def test_a_sleeping_run_wakes(start: Start) -> None:
    async with start() as system:
        event_id = await system.send("peer/slept")
        before = await system.outcome(event_id)
        await system.advance(3600)
        after = await system.outcome(event_id)

    assert [("Running", None), ("Completed", "woken")] == [before, after]


async def test_a_run_gets_the_event_that_it_waits_for_or_none(start: Start) -> None:
    async with start() as system:
        event_id = await system.send("peer/waited", {"key": 7})
        await system.idle()
        await system.send("peer/answer", {"key": 6, "value": "wrong"})
        await system.send("peer/answer", {"key": 7, "value": "right"})
        await system.idle()
        await system.advance(60)
        outcome = await system.outcome(event_id)

    assert ("Completed", {"found": "right", "none": None}) == outcome


async def test_events_come_in_batches(start: Start) -> None:
    async with start() as system:
        events = [await system.send("peer/batched", {"number": number}) for number in range(3)]
        outcomes = {str(await system.outcome(event)) for event in events}

    assert {str(("Completed", [0, 1, 2]))} == outcomes


async def test_a_run_is_cancelled_by_an_event(start: Start) -> None:
    async with start() as system:
        event_id = await system.send("peer/cancelled", {"key": 7})
        await system.idle()
        await system.send("peer/cancel", {"key": 6})
        before = await system.outcome(event_id)
        await system.send("peer/cancel", {"key": 7})
        after = await system.outcome(event_id)

    assert ["Running", "Cancelled"] == [before[0], after[0]]
