"""Every example app, started as its users start it, and driven by the embedded executor from sync to completed run."""

from __future__ import annotations

import asyncio
import importlib.util
import pathlib
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.cli.command import environment

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
PATIENCE = 30.0
DATA = {"order_id": "A-1", "total": 120}

EVENTS = {
    # Their orders wait a minute for a payment.
    "fastapi": "shop/quotes.requested",
    "flask": "shop/quotes.requested",
}
"""What starts something that ends soon; elsewhere `shop/order.created`, or else the first event of the app."""

PACKAGES = {"asgi": ["uvicorn"], "http_server": [], "wsgi": ["waitress"]}
"""What examples import that is not called like their folder."""

CANNOT_RUN: dict[str, str] = {}
"""Examples that no program serves on this machine, and why."""


def _names() -> list[str]:
    return sorted(path.parent.name for path in EXAMPLES.glob("*/app.py"))


def test_the_examples_are_found() -> None:
    assert {"fastapi", "flask"} <= set(_names())


@pytest.mark.parametrize("name", _names())
def test_an_example_is_synced_and_runs_to_its_end(name: str, tmp_path: pathlib.Path) -> None:
    if name in CANNOT_RUN:
        pytest.skip(CANNOT_RUN[name])
    missing = [package for package in PACKAGES.get(name, [name]) if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    runs = asyncio.run(_drive(name, tmp_path / "app.log"))

    assert runs != []
    assert [run["status"] for run in runs] == ["Completed"] * len(runs), (tmp_path / "app.log").read_text()
    assert None not in [run["output"] for run in runs]


async def _drive(name: str, log: pathlib.Path) -> list[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with serving(ServerConfig(port=0)) as server, httpx.AsyncClient(trust_env=False) as http:
        variables = {"INNGEST_DEV": server.url, "HOST": "127.0.0.1", "PORT": str(port), "PYTHONWARNINGS": "default"}
        with _started(name, variables, log) as process:
            await _until_it_listens(process, port, log)
            synced = await http.put(f"http://127.0.0.1:{port}/api/inngest", timeout=PATIENCE)
            assert synced.status_code == 200, synced.text
            sent = await http.post(f"{server.url}/e/key", json={"name": _event(name, server), "data": DATA})
            return await _ended(http, f"{server.url}/v1/events/{sent.json()['ids'][0]}/runs")


@contextmanager
def _started(name: str, variables: dict[str, str], log: pathlib.Path) -> Generator[subprocess.Popen[bytes], None, None]:
    command = [sys.executable, str(EXAMPLES / name / "app.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(**variables), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert asyncio.get_running_loop().time() < deadline, log.read_text()
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


def _event(name: str, server: RunningServer) -> str:
    """Return the event to send, which the app has registered a function for."""
    functions = server.executor.registry.active()
    events = [trigger.event for function in functions for trigger in function.config.triggers if trigger.event]
    chosen = EVENTS.get(name, "shop/order.created" if "shop/order.created" in events else events[0])
    assert chosen in events
    return chosen


async def _ended(http: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    """Wait until no run of an event goes on, and return its runs."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        runs: list[dict[str, Any]] = (await http.get(url)).json()["data"]
        if runs and all(run["status"] not in ("Queued", "Running") for run in runs):
            return runs
        assert asyncio.get_running_loop().time() < deadline, runs
        await asyncio.sleep(0.05)
