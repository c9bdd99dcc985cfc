"""Running functions that pages of documentation define: by the embedded executor, in memory, with virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import msgspec

import stepserve.asgi
from stepserve import Event, Function, Inngest
from stepserve.testing.servers import uvicorn, waitress
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.server import ServerConfig, serving

_HOUR = 3600.0
_LONGEST = 24 * 40

_served = contextlib.ExitStack()
"""What goes on until the process ends."""


def outcome(client: Inngest, functions: Sequence[Function[Any]], *events: Event[Any]) -> tuple[str, Any]:
    """Send events one after the other, let time pass, and return status and output of the first one's first run."""
    return asyncio.run(_outcome(client, functions, events))


async def _outcome(
    client: Inngest, functions: Sequence[Function[Any]], events: Sequence[Event[Any]]
) -> tuple[str, Any]:
    clock = VirtualClock(time.time() + 60)
    settings = LoopSettings(retry_interval=0.0)
    embedded = Executor.embedded(client, functions, clock=clock, settings=settings, gateway_allow=["loopback"])
    async with embedded as executor:
        first = ""
        for event in events:
            (sent,) = await executor.send({"name": event.name, "data": dict(event.data)})
            first = first or sent
            await executor.loop.idle()
        for _ in range(_LONGEST):
            await executor.loop.idle()
            runs = await executor.read(lambda tables: tables.runs.of_event(first))
            if runs and runs[0].ended_at is not None:
                return runs[0].status, None if runs[0].output is None else msgspec.json.decode(runs[0].output)
            clock.advance(_HOUR)
            executor.loop.wake()
        raise AssertionError(f"the run of {events[0].name} did not end within {_LONGEST} hours")


def website(answer: object) -> str:
    """Answer all requests with `answer` as JSON, for as long as the process lives; return the origin."""
    body = json.dumps(answer).encode()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            """Say nothing: what a page prints is compared."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def choose_server() -> None:
    """Let the clients that are made from now on know where `listen` will start a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        os.environ["INNGEST_DEV"] = f"http://127.0.0.1:{free.getsockname()[1]}"


def serve_endpoints(client: Inngest, app: Any) -> str:
    """Serve a WSGI app, and the server that its client knows, for as long as the process lives; return its origin."""
    started = threading.Event()
    config = ServerConfig(port=int(client.api_origin.rpartition(":")[2]), poll=False)

    async def run() -> None:
        async with serving(config):
            started.set()
            await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    assert started.wait(30)
    return f"http://127.0.0.1:{_served.enter_context(waitress(app))}"


def listen(
    client: Inngest, functions: Sequence[Function[Any]], event: Event[Any], subscriber: Callable[[], Awaitable[None]]
) -> None:
    """Serve functions and run `subscriber`; once it has subscribed, send an event and wait until it returns."""
    asyncio.run(_listen(client, functions, event, subscriber))


async def _listen(
    client: Inngest, functions: Sequence[Function[Any]], event: Event[Any], subscriber: Callable[[], Awaitable[None]]
) -> None:
    config = ServerConfig(port=int(client.api_origin.rpartition(":")[2]), poll=False)
    async with serving(config) as server, httpx.AsyncClient() as http:
        with uvicorn(stepserve.asgi.serve(client, functions)) as port:
            (await http.put(f"http://127.0.0.1:{port}/api/inngest", timeout=30)).raise_for_status()
            subscribed = asyncio.ensure_future(subscriber())
            while not server.executor.realtime.subscribers:
                await asyncio.sleep(0.01)
            await client.send(event)
            await asyncio.wait_for(subscribed, 30)


def metadata(client: Inngest, functions: Sequence[Function[Any]], event: Event[Any]) -> list[tuple[str, Any]]:
    """Send an event, and return kinds and values of the metadata that steps of its run added."""
    return asyncio.run(_metadata(client, functions, event))


async def _metadata(client: Inngest, functions: Sequence[Function[Any]], event: Event[Any]) -> list[tuple[str, Any]]:
    async with Executor.embedded(client, functions) as executor:
        (sent,) = await executor.send({"name": event.name, "data": dict(event.data)})
        await executor.loop.idle()
        (run,) = await executor.read(lambda tables: tables.runs.of_event(sent))
        known = await executor.read(lambda tables: tables.metadata.of_run(run.id))
        kinds = [(kind, values) for of_step in known.values() for kind, values in of_step.items()]
        return [(kind, msgspec.json.decode(values)) for kind, values in kinds]
