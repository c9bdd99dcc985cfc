"""The official TypeScript SDK checkpoints by itself (protocol.md 13.1): our executor has the API that it needs."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import httpx
import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.raw_app import RawApp
from tests.executor.system import System
from tests.peers.apps import PATIENCE, missing, started

PEER = "TypeScript on Node"

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group(PEER)]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


async def test_runs_take_one_call_and_a_checkpoint_for_each_step(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = missing(PEER)
    if reason is not None:
        pytest.skip(reason)
    counts: list[str] = []
    log, clock = tmp_path / "app.log", VirtualClock(time.time() + 60)
    config = ServerConfig(port=0, poll=False, database=str(tmp_path / "runs.db"))
    async with (
        serving(config, clock=clock) as server,
        started(PEER, server.url, log) as url,
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as http,
    ):
        assert 200 == (await http.put(url)).status_code
        send, note = server.executor.transport.send, server.executor.caller.note_progress

        async def sending(*call: Any) -> Any:
            counts.append("call")
            return await send(*call)

        def noting(*progress: Any) -> None:
            counts.append("checkpoint")
            note(*progress)

        monkeypatch.setattr(server.executor.transport, "send", sending)
        monkeypatch.setattr(server.executor.caller, "note_progress", noting)
        system = System(RawApp([]), server.executor, http, clock, config.database)
        outcome = await system.outcome(await system.send("peer/steps", {"number": 20}))

    assert ("Completed", {"doubled": 40, "increased": 41, "text": "é\u2028ß😀"}) == outcome
    assert ["call", "checkpoint", "checkpoint"] == counts
