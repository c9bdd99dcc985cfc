"""Durable endpoints of the official TypeScript SDK: our executor goes on with their runs (protocol.md 13.3)."""

from __future__ import annotations

import asyncio
import pathlib
import time
from typing import Any

import httpx
import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.server import ServerConfig, serving
from tests.adapters.listening import Listener
from tests.executor.raw_app import RawApp
from tests.executor.system import System
from tests.peers.apps import PATIENCE, missing, started

PEER = "TypeScript endpoints on Node"

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("TypeScript on Node")]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


async def test_an_endpoint_answers_at_once_or_its_client_is_sent_to_the_answer(tmp_path: pathlib.Path) -> None:
    reason = missing(PEER)
    if reason is not None:
        pytest.skip(reason)
    clock = VirtualClock(time.time())
    config = ServerConfig(port=0, poll=False, retry_interval=0.0)
    async with (
        serving(config, clock=clock) as server,
        started(PEER, server.url, tmp_path / "app.log") as url,
        httpx.AsyncClient(timeout=PATIENCE, base_url=url.removesuffix("/api/inngest")) as http,
    ):
        system = System(RawApp([]), server.executor, http, clock, None)

        async def ask(method: str, path: str, body: object = None) -> tuple[list[int], Any, list[Any]]:
            """Return the statuses of the answers, the last one's content, and what was executed for it."""
            answer = await http.request(method, path, json=body)
            statuses = [answer.status_code]
            if answer.is_redirect:
                await system.advance(700)
                answer = await http.get(answer.headers["location"])
                statuses.append(answer.status_code)
            return statuses, answer.json(), (await http.get("/executed")).json()

        direct = await ask("GET", "/direct?q=7")
        flaky = await ask("GET", "/flaky")
        statuses, parallel, executed = await ask("GET", "/parallel")
        slept = await ask("POST", "/slept?name=world", {"some": "body"})
        runs = (await http.get(f"{server.url}/v2/runs")).json()["data"]

    assert ([201], {"second": 2, "query": "7"}, [1, 2]) == direct
    assert ([302, 200], 2, ["try", "try"]) == flaky
    assert ([302, 200], 14, [1, 4, 9, 14]) == (statuses, parallel, sorted(executed))
    assert ([302, 200], "hello world", ["hello world"]) == slept
    assert ["COMPLETED"] * 4 == [run["status"].upper() for run in runs]


async def test_who_listens_to_an_endpoint_hears_how_it_goes_on(tmp_path: pathlib.Path) -> None:
    reason = missing(PEER)
    if reason is not None:
        pytest.skip(reason)
    clock = VirtualClock(time.time())
    async with (
        serving(ServerConfig(port=0, poll=False, retry_interval=0.0), clock=clock) as server,
        started(PEER, server.url, tmp_path / "app.log") as url,
        httpx.AsyncClient(timeout=PATIENCE, base_url=url.removesuffix("/api/inngest")) as http,
    ):
        client = Listener()
        listening = asyncio.create_task(client.listen(http, "GET", "/told"))
        while not server.executor.realtime.subscribers and not listening.done():
            await asyncio.sleep(0.01)
        await System(RawApp([]), server.executor, http, clock, None).advance(700)
        await asyncio.wait_for(listening, PATIENCE)

    assert (["first 1", "second 2"], ("succeeded", 200, '"second"')) == (client.told, client.answer)
