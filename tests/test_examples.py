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
from typing import Any, NamedTuple

import httpx
import pytest

from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.cli.command import environment

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
PATIENCE = 30.0
DATA = {"order_id": "A-1", "total": 120}


class Example(NamedTuple):
    """How an example is started, and what it is asked.

    `packages` are those that it imports, `command` comes after the Python interpreter and may name the `{port}`;
    without a `path` it connects itself;
    `event` starts something that ends soon.
    """

    packages: tuple[str, ...]
    command: tuple[str, ...] = ("{folder}/app.py",)
    path: str = "/api/inngest"
    event: str = "shop/order.created"


QUOTES = "shop/quotes.requested"  # some shops' orders wait a minute for a payment
FUNCTIONS_FRAMEWORK = ("--source", "{folder}/main.py", "--target", "inngest", "--host", "127.0.0.1", "--port", "{port}")

TABLE = {
    "aiohttp": Example(("aiohttp",)),
    "asgi": Example(("uvicorn",)),
    "aws_lambda": Example((), ("{folder}/run_locally.py",), path="/"),
    "azure": Example(("azure.functions",), ("{folder}/run_locally.py",)),
    "bottle": Example(("bottle",)),
    "connect": Example(("google.protobuf", "websockets"), path=""),
    "digital_ocean": Example(("flask",), ("{folder}/run_locally.py",), path="/api/v1/web/fn-00000000/fake-name"),
    "django": Example(("django",)),
    "falcon": Example(("falcon",)),
    "fastapi": Example(("fastapi",), event=QUOTES),
    "flask": Example(("flask",), event=QUOTES),
    "google_cloud": Example(("functions_framework",), ("-m", "functions_framework", *FUNCTIONS_FRAMEWORK), path="/"),
    "http_server": Example(()),
    "litestar": Example(("litestar",)),
    "pyramid": Example(("pyramid",)),
    "quart": Example(("quart",)),
    "robyn": Example(("robyn",)),
    "sanic": Example(("sanic",)),
    "starlette": Example(("starlette",)),
    "tornado": Example(("tornado",)),
    "wsgi": Example(("waitress",)),
}
"""Every folder in examples/."""

CANNOT_RUN: dict[str, str] = {}
"""Examples that no program serves on this machine, and why."""


def test_every_example_is_in_the_table() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}

    assert folders == {*TABLE, "endpoint"}


def test_the_durable_endpoint_sends_its_client_to_the_answer(tmp_path: pathlib.Path) -> None:
    if not _is_installed("flask"):
        pytest.skip("not installed: flask")

    async def ask() -> object:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        async with serving(ServerConfig(port=0)) as server, httpx.AsyncClient(trust_env=False) as http:
            variables = {"INNGEST_DEV": server.url, "PORT": str(port)}
            with _started("endpoint", variables, tmp_path / "app.log") as process:
                await _until_it_listens(process, port, tmp_path / "app.log")
                url = f"http://127.0.0.1:{port}/checkout/A-1"
                return (await http.post(url, timeout=PATIENCE, follow_redirects=True)).json()

    assert asyncio.run(ask()) == {"receipt": "charged A-1", "parcel": "packed A-1"}


@pytest.mark.parametrize("name", TABLE)
def test_an_example_is_synced_and_runs_to_its_end(name: str, tmp_path: pathlib.Path) -> None:
    if name in CANNOT_RUN:
        pytest.skip(CANNOT_RUN[name])
    missing = [package for package in TABLE[name].packages if not _is_installed(package)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    runs = asyncio.run(_drive(name, tmp_path / "app.log"))

    assert runs != []
    assert [run["status"] for run in runs] == ["Completed"] * len(runs), (tmp_path / "app.log").read_text()
    assert None not in [run["output"] for run in runs]


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what it is in
        return False


async def _drive(name: str, log: pathlib.Path) -> list[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with serving(ServerConfig(port=0)) as server, httpx.AsyncClient(trust_env=False) as http:
        variables = {"INNGEST_DEV": server.url, "HOST": "127.0.0.1", "PORT": str(port), "PYTHONWARNINGS": "default"}
        with _started(name, variables, log) as process:
            if TABLE[name].path:
                await _until_it_listens(process, port, log)
                synced = await http.put(f"http://127.0.0.1:{port}{TABLE[name].path}", timeout=PATIENCE)
                assert synced.status_code == 200, synced.text
            else:
                await _until_it_is_connected(server, process, log)
            sent = await http.post(f"{server.url}/e/key", json={"name": _event(name, server), "data": DATA})
            return await _ended(http, f"{server.url}/v1/events/{sent.json()['ids'][0]}/runs")


@contextmanager
def _started(name: str, variables: dict[str, str], log: pathlib.Path) -> Generator[subprocess.Popen[bytes], None, None]:
    places = {"folder": EXAMPLES / name, "port": variables["PORT"]}
    shown = TABLE.get(name, Example(()))
    command = [sys.executable, *(part.format(**places) for part in shown.command)]
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


async def _until_it_is_connected(server: RunningServer, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not server.executor.workers.all():
        assert process.poll() is None, log.read_text()
        assert asyncio.get_running_loop().time() < deadline, log.read_text()
        await asyncio.sleep(0.05)


def _event(name: str, server: RunningServer) -> str:
    """Return the event to send, which the app has registered a function for."""
    functions = server.executor.registry.active()
    events = [trigger.event for function in functions for trigger in function.config.triggers if trigger.event]
    assert TABLE[name].event in events
    return TABLE[name].event


async def _ended(http: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    """Wait until no run of an event goes on, and return its runs."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        runs: list[dict[str, Any]] = (await http.get(url)).json()["data"]
        if runs and all(run["status"] not in ("Queued", "Running") for run in runs):
            return runs
        assert asyncio.get_running_loop().time() < deadline, runs
        await asyncio.sleep(0.05)
