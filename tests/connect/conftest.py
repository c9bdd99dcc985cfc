"""What tests of Connect share: a server and workers that are connected to it, over sockets, with short intervals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve import Function, Inngest
from stepserve.connect import ConnectionState, WorkerConnection, connect
from stepserve_core.connect.timing import Timing, replaced_timing
from stepserve_core.executor.connect.intervals import Intervals
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.executor.raw_app import RawApp
from tests.executor.system import System

QUICK = Intervals(extend=0.05)
TIMING = Timing(backoff=(0.02,), first_attempts=3, answer=2.0)

Define = Callable[[Inngest], list[Function[Any]]]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _quick_workers() -> Generator[None, None, None]:
    """Workers try again soon."""
    with replaced_timing(TIMING):
        yield


class Served(System):
    """A server for workers."""

    server: RunningServer

    def client_of(self, app_id: str = "app", **settings: Any) -> Inngest:
        """Return a client that knows the server."""
        url = self.server.url
        options: dict[str, Any] = {
            "is_production": False,
            "api_base_url": url,
            "event_api_base_url": url,
            "event_key": "key",
        }
        return Inngest(app_id=app_id, **{**options, **settings})

    @asynccontextmanager
    async def worker(self, define: Define, **options: Any) -> AsyncGenerator[WorkerConnection, None]:
        """Run a worker in this event loop until the block is left."""
        client = self.client_of()
        async with running(connect([(client, define(client))], shutdown_signals=[], **options)) as connection:
            yield connection

    async def until_gone(self) -> None:
        """Wait until no worker is connected."""
        while self.executor.workers.all():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(connection: WorkerConnection) -> AsyncGenerator[WorkerConnection, None]:
    """Run a worker until the block is left; it must end by itself then."""
    task = asyncio.create_task(connection.start())
    try:
        await connection.wait_for_state(ConnectionState.ACTIVE)
        yield connection
    finally:
        await connection.close()
        await asyncio.wait_for(task, 10)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    """Start a server for workers."""

    @asynccontextmanager
    async def start(intervals: Intervals = QUICK, **settings: Any) -> AsyncGenerator[Served, None]:
        defaults: dict[str, Any] = {"port": 0, "poll": False, "retry_interval": 0.0, "grace": 0.05}
        config = ServerConfig(**{**defaults, **settings})
        headers = {"authorization": f"Bearer {config.signing_key}"} if config.signing_key else {}
        async with (
            serving(config) as server,
            httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as http,
        ):
            server.executor.workers.intervals = intervals
            system = Served(RawApp([]), server.executor, http, None, config.database)
            system.server = server
            yield system

    return start
