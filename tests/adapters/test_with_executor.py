"""Apps on real servers of both kinds, called by a real executor with keys, also under every fault regime."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve import Inngest
from stepserve.testing.contract import functions_async, functions_sync
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.served import APP_ID, EVENT_KEY, KEY
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.server import ServerConfig, serving
from tests import regime as regimes
from tests.executor.raw_app import RawApp
from tests.executor.system import System
from tests.frameworks.fastapi import FastAPIOnUvicorn
from tests.frameworks.flask import FlaskOnWaitress
from tests.regime import regime  # noqa: F401 # pyright: ignore[reportUnusedImport] - a fixture

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(harness: Harness, make: Any) -> AsyncGenerator[System, None]:
    """Run an executor, and the app of a harness that has registered with it."""
    settings = ServerConfig(
        kind="cloud", port=0, signing_key=KEY, event_keys=[EVENT_KEY], poll=False, retry_interval=0.0
    )
    clock = VirtualClock(time.time())
    async with (
        serving(regimes.under_regime(settings), clock=clock) as server,
        httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}) as http,
    ):
        client = Inngest(
            app_id=APP_ID,
            api_base_url=server.url,
            event_api_base_url=server.url,
            event_key=EVENT_KEY,
            is_production=True,
            signing_key=KEY,
        )
        with harness.mount(client, make(client)) as send:
            synced = await http.put(f"{send.origin}/api/inngest")

            assert 200 == synced.status_code, synced.text
            yield System(RawApp([]), server.executor, http, clock, None)


@pytest.mark.parametrize("make", [functions_sync.make, functions_async.make], ids=["def", "async def"])
@pytest.mark.parametrize(
    "harness", [FlaskOnWaitress(), FastAPIOnUvicorn()], ids=["FlaskOnWaitress", "FastAPIOnUvicorn"]
)
async def test_functions_end_as_they_should(harness: Harness, make: Any) -> None:
    """Steps in sequence and in parallel, sleeps, large outputs, failures and their handlers."""
    expected = {
        "two-steps": ("Completed", {"first": 1, "second": 11}),
        "parallel": ("Completed", ["l", "r", None]),
        "letters": ("Completed", "x" * 1000),
        "context-variable": ("Completed", ["nothing", "nothing"]),
        "fails-in-step": ("Failed", None),
        "refund": ("Failed", None),
    }
    async with running(harness, make) as system:
        started: dict[str, str] = {}
        for name in expected:
            answer = await system.http.post(f"/invoke/shop-{name}", json={"data": {"count": 1000, "how": "somehow"}})
            started[name] = answer.json()["id"]
        await system.idle()
        await system.advance(5)
        await system.idle()
        ended = {name: await system.outcome(event_id) for name, event_id in started.items()}

    messages = {name: output["message"] for name, (status, output) in ended.items() if status == "Failed"}
    assert {"fails-in-step": "it went wröng", "refund": "it went wröng"} == messages
    assert expected == {
        name: (status, None if name in messages else output) for name, (status, output) in ended.items()
    }
