"""A server with its dashboard, and an app, in a thread: tests drive the browser from the main thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

import stepserve.asgi
from stepserve import Inngest
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.dashboard.shop import define
from tests.executor.raw_app import served

T = TypeVar("T")
TIMEOUT = 30.0


class Site:
    """What tests see of the server: its URL, its API, and stopping and starting it."""

    def __init__(self, database: Path, **settings: Any) -> None:
        defaults: dict[str, Any] = {
            "port": 0,
            "database": str(database),
            "poll": False,
            "retry_interval": 0.05,
            "synchronous": "OFF",
        }
        self._settings = {**defaults, **settings}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers = AsyncExitStack()
        self._server: RunningServer | None = None
        self.app_url = ""
        self.url = ""
        self.http = httpx.Client()

    @property
    def server(self) -> RunningServer:
        """The server that runs."""
        assert self._server is not None
        return self._server

    def open(self) -> None:
        """Start the thread, the server and the app, and sync the app."""
        self._thread.start()
        self.start()
        key = self._settings.get("signing_key")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT)
        self.app_url = self.do(self._serve_app(key))
        answer = self.http.post("/v2/apps", json={"url": self.app_url})

        assert 200 == answer.status_code, answer.text

    def start(self) -> None:
        """Start the server; after a stop, at the same port as before."""
        self._server = self.do(self._servers.enter_async_context(serving(ServerConfig(**self._settings))))
        self._settings["port"] = self.server.port
        self.url = self.server.url

    def stop(self) -> None:
        """Stop the server; the app goes on."""
        self.do(self._servers.aclose())

    def close(self) -> None:
        """Stop everything."""
        self.http.close()
        self.stop()
        self.do(self._apps.aclose())
        self.do(self._loop.shutdown_asyncgens())  # closes what clients keep open
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(TIMEOUT)

    def send(self, name: str, data: dict[str, Any] | None = None, **fields: Any) -> str:
        """Send an event; return its id."""
        answer = self.http.post("/v2/events", json={"name": name, "data": data or {}, **fields})

        assert 200 == answer.status_code, answer.text
        event_id: str = answer.json()["data"]["eventId"]
        return event_id

    def run_of(self, event_id: str) -> str:
        """Return the id of the run that an event started, when nothing is left to do."""
        self.idle()
        (run,) = self.http.get(f"/v2/events/{event_id}/runs").json()["data"]
        run_id: str = run["id"]
        return run_id

    def runs(self, **query: str) -> list[dict[str, Any]]:
        """Return runs, the newest first."""
        found: list[dict[str, Any]] = self.http.get("/v2/runs", params={"limit": "100", **query}).json()["data"]
        return found

    def idle(self) -> None:
        """Wait until nothing is left to do now."""
        self.do(self.server.executor.loop.idle())

    async def _serve_app(self, key: str | None) -> str:
        self._apps = AsyncExitStack()
        client = Inngest(
            app_id="shop",
            api_base_url=self.url,
            event_api_base_url=self.url,
            is_production=key is not None,
            signing_key=key,
            event_key="key",
        )
        origin = await self._apps.enter_async_context(served(stepserve.asgi.serve(client, define(client))))
        return f"{origin}/api/inngest"


@contextmanager
def running_site(database: Path, **settings: Any) -> Generator[Site, None, None]:
    """Run a server and its app until the block is left."""
    site = Site(database, **settings)
    with contextlib.closing(site):
        site.open()
        yield site
