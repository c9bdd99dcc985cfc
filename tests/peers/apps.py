"""Apps built with the official SDKs, as processes of their own."""

from __future__ import annotations

import asyncio
import importlib.util
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from tests.cli.command import environment

HERE = pathlib.Path(__file__).parent
NODE_MODULES = HERE / "typescript" / "node_modules"
PATIENCE = 30.0
"""Seconds that an app may take to start, to answer and to stop."""

COMMANDS = {
    "Python on FastAPI": [sys.executable, str(HERE / "python_app.py"), "fastapi"],
    "Python on Flask": [sys.executable, str(HERE / "python_app.py"), "flask"],
    "TypeScript on Node": ["node", str(HERE / "typescript" / "app.mjs")],
}

ENDPOINTS = {"TypeScript endpoints on Node": ["node", str(HERE / "typescript" / "endpoints.mjs")]}

WORKERS = {
    "Python": [sys.executable, str(HERE / "python_app.py"), "connect"],
    "TypeScript on Node": ["node", "--experimental-websocket", str(HERE / "typescript" / "app.mjs"), "connect"],
}


def missing(peer: str) -> str | None:
    """Say what keeps a peer from running here, if anything does."""
    if peer.startswith("Python"):
        return None if importlib.util.find_spec("inngest") else "the official Python SDK is not installed: nox -s peers"
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return None if NODE_MODULES.is_dir() else "the official TypeScript SDK is not installed: nox -s peers"


@asynccontextmanager
async def started(peer: str, origin: str, log: pathlib.Path) -> AsyncGenerator[str, None]:
    """Run an app against the executor at `origin`; give the URL of its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    variables = environment(INNGEST_DEV=origin, HOST="127.0.0.1", PORT=str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            {**COMMANDS, **ENDPOINTS}[peer], env=variables, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            await asyncio.wait_for(_until_it_listens(process, port, log), PATIENCE)
            yield f"http://127.0.0.1:{port}/api/inngest"
        finally:
            process.terminate()
            process.wait(PATIENCE)


@contextmanager
def worker(peer: str, origin: str, log: pathlib.Path) -> Generator[subprocess.Popen[bytes], None, None]:
    """Run an app that connects to the executor at `origin`; it must end by itself when it is asked to."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            WORKERS[peer], env=environment(INNGEST_DEV=origin), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


async def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    while True:
        assert process.poll() is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return
