"""An app and an executor that run together, and what tests ask of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from stepserve_core._signature import hash_signing_key
from stepserve_core.executor.clock import Clock, VirtualClock
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.server import ServerConfig, serving
from tests import regime
from tests.executor.raw_app import Fn, RawApp, served

_MOST_LOST = 20


class System:
    """A running app and executor."""

    def __init__(
        self, app: RawApp, executor: Executor, http: httpx.AsyncClient, clock: Clock | None, database: str | None
    ) -> None:
        self.database = database
        self.app = app
        self.client: Any = None
        """The client of an app that our SDK serves."""
        self.executor = executor
        self.http = http
        self._clock = clock
        self._lost = 0
        """How often in a row items were leased with no call under way: either just claimed, or left behind."""

    async def send(self, name: str, data: dict[str, Any] | None = None, **fields: Any) -> str:
        """Send an event; return its id."""
        answer = await self.http.post("/e/key", json={"name": name, "data": data or {}, **fields})

        assert 200 == answer.status_code, answer.text
        event_id: str = answer.json()["ids"][0]
        return event_id

    async def idle(self) -> None:
        """Wait until nothing is left to do now."""
        await self.executor.loop.idle()
        while regime.current is not None and (wait := await self._until_late_answer()) is not None:
            if isinstance(self._clock, VirtualClock):
                self._clock.advance(wait)
            else:
                await asyncio.sleep(wait)
            self.executor.loop.wake()
            await self.executor.loop.idle()

    async def _until_late_answer(self) -> float | None:
        """Return how many seconds there are until something is due that counts as now, under a fault regime."""
        due, leased = await self.executor.read(lambda tables: (tables.queue.next_due(), tables.queue.lease_ends()))
        if leased and self._lost < _MOST_LOST:
            self._lost += not self.executor.loop.under_way
            return 0.0  # claimed since the loop was idle
        self._lost = 0
        wait = None if due is None else due - self.executor.clock.now()
        return None if wait is None or wait > regime.latest_answer() else max(wait, 0.0)

    async def advance(self, seconds: float) -> None:
        """Move the virtual clock and wait until what became due is done."""
        assert isinstance(self._clock, VirtualClock)
        self._clock.advance(seconds)
        self.executor.loop.wake()
        await self.idle()

    async def runs(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs that an event started."""
        runs: list[dict[str, Any]] = await self.get(f"/v1/events/{event_id}/runs")
        return runs

    async def run_of(self, event_id: str) -> dict[str, Any]:
        """Return the only run that an event started, when nothing is left to do."""
        await self.idle()
        (run,) = await self.runs(event_id)
        return run

    async def outcome(self, event_id: str) -> tuple[str, Any]:
        """Return status and output of the only run that an event started, when nothing is left to do."""
        run = await self.run_of(event_id)
        return run["status"], run["output"]

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return the stored events of a name, the oldest first."""
        found: list[dict[str, Any]] = await self.get(
            "/v1/events", name=name, limit="51", received_after="1990-01-01T00:00:00Z"
        )
        return found[::-1]

    async def trace(self, run_id: str) -> dict[str, Any]:
        """Return the timeline of a run."""
        trace: dict[str, Any] = await self.get(f"/v2/runs/{run_id}/trace")
        return trace

    async def get(self, path: str, **query: str) -> Any:
        """Return the data of a reply."""
        answer = await self.http.get(path, params=query)

        assert 200 == answer.status_code, answer.text
        return answer.json()["data"]


@asynccontextmanager
async def running_system(
    functions: list[Fn], config: ServerConfig, clock: Clock | None
) -> AsyncGenerator[System, None]:
    """Run an app and an executor that has synced it."""
    app = RawApp(functions, counts_once=regime.current is not None)
    headers = {}
    if config.signing_key is not None:
        app.signing_token = hash_signing_key(config.signing_key)
        headers["authorization"] = f"Bearer {config.signing_key}"
    async with served(app) as origin:
        app.url = f"{origin}/api/inngest"
        async with (
            serving(regime.under_regime(config), clock=clock) as server,
            httpx.AsyncClient(base_url=server.url, headers=headers) as http,
        ):
            app.api = server.url
            answer = await http.post("/fn/register", json=app.registration())

            assert 200 == answer.status_code, answer.text
            yield System(app, server.executor, http, clock, config.database)
