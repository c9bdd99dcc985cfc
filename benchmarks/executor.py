"""Measure the embedded executor: latency of one run, runs at once, steps per second; over HTTP and in process.

    python benchmarks/executor.py [--rounds 5] [--synchronous FULL|NORMAL] [--directory DIR]

Everything is durable: a SQLite file, and FULL (the default) syncs each commit to disk. The app is raw, so that the
executor is measured and not an SDK: over HTTP it runs under uvicorn in a process of its own. The last row runs
functions of our own SDK in process. A 10-step run takes 11 calls. CPU is that of this process: over HTTP the executor's
alone, in process with the app. Whether it grows with what is stored: `executor_scale.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from stepserve_core import Context, Inngest, TriggerEvent
from stepserve_core._opcodes import hash_step_id
from stepserve_core._protocol import Request, Response
from stepserve_core.executor import Executor, Store
from stepserve_core.executor.server import ServerConfig, serving
from stepserve_core.executor.transport import EmbeddedTransport

SDK = {"content-type": "application/json", "x-inngest-sdk": "raw:v1", "x-inngest-req-version": "2"}
RUNS, STEPS = 100, 20


class Body(msgspec.Struct):
    """What the raw app reads of a call."""

    event: dict[str, Any]
    steps: dict[str, msgspec.Raw]


_decode = msgspec.json.Decoder(Body).decode


def answer(body: bytes) -> tuple[int, bytes]:
    """Execute the next step of `event.data.steps` steps, or return."""
    call = _decode(body)
    done = len(call.steps)
    if done >= call.event["data"]["steps"]:
        return 200, b'"done"'
    name = f"step {done}"
    op = {"op": "StepRun", "id": hash_step_id(name), "name": name, "displayName": name, "data": {"n": done}}
    return 206, msgspec.json.encode([op])


class RawHandler:
    """The raw app in process."""

    async def ahandle(self, request: Request) -> Response:
        """Answer a call."""
        status, body = answer(request.body)
        return Response(status, SDK, body)


async def raw_app(scope: Any, receive: Any, send: Any) -> None:
    """The raw app over HTTP."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    status, reply = answer(body)
    headers = [(name.encode(), value.encode()) for name, value in SDK.items()]
    headers.append((b"content-length", b"%d" % len(reply)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


def registration(url: str) -> bytes:
    """Register the one function of the raw app."""
    runtime = {"type": "http", "url": f"{url}?fnId=bench-f&stepId=step"}
    step = {"id": "step", "name": "step", "runtime": runtime}
    function = {"id": "bench-f", "name": "f", "triggers": [{"event": "bench/go"}], "steps": {"step": step}}
    return msgspec.json.encode({"appName": "bench", "url": url, "sdk": "raw:v1", "functions": [function]})


Send = Callable[[int, int], Awaitable[None]]


async def measure(executor: Executor, send: Send, rounds: int) -> dict[str, list[float]]:
    """Return the figures of every round."""
    figures: dict[str, list[float]] = {"one": [], "runs": [], "steps": [], "cpu": []}
    for round_number in range(rounds + 1):
        one = await _timed(executor, send, 1, 10)
        runs = 200 / await _timed(executor, send, 200, 1)
        began = time.process_time()
        steps = RUNS * STEPS / await _timed(executor, send, RUNS, STEPS)
        cpu = (time.process_time() - began) * 1e6 / (RUNS * STEPS)
        if round_number:  # the first round warms up
            figures["one"].append(one * 1000)
            figures["runs"].append(runs)
            figures["steps"].append(steps)
            figures["cpu"].append(cpu)
    return figures


async def _timed(executor: Executor, send: Send, runs: int, steps: int) -> float:
    started = time.perf_counter()
    await send(runs, steps)
    await executor.loop.idle()
    elapsed = time.perf_counter() - started
    await _check(executor)
    return elapsed


async def _check(executor: Executor) -> None:
    left = await executor.read(lambda tables: tables.queue.next_due())
    if left is not None:
        raise SystemExit("a call failed and waits to be repeated; the figures would be wrong")


def _events(runs: int, steps: int) -> list[dict[str, Any]]:
    return [{"name": "bench/go", "data": {"steps": steps, "payload": "x" * 200}} for _ in range(runs)]


async def over_http(path: str | None, synchronous: str, rounds: int) -> dict[str, list[float]]:
    """Measure with the app in another process and events over HTTP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--serve", str(port)])
    try:
        config = ServerConfig(port=0, database=path, synchronous=synchronous, poll=False)
        async with serving(config) as server, httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            await _until_up(port)
            await server.executor.register(registration(f"http://127.0.0.1:{port}/api/inngest"))

            async def send(runs: int, steps: int) -> None:
                (await http.post("/e/key", json=_events(runs, steps))).raise_for_status()

            return await measure(server.executor, send, rounds)
    finally:
        process.terminate()
        process.wait()


async def _until_up(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit("the app did not start")


async def in_process(path: str | None, synchronous: str, rounds: int) -> dict[str, list[float]]:
    """Measure with the raw app in this process, without sockets."""
    executor = Executor(Store(path, synchronous=synchronous), transport=EmbeddedTransport(RawHandler()))
    async with executor:
        await executor.register(registration("http://embedded/api/inngest"))
        return await measure(executor, lambda runs, steps: _send(executor, runs, steps), rounds)


async def with_our_sdk(path: str | None, synchronous: str, rounds: int) -> dict[str, list[float]]:
    """Measure with functions of our SDK in this process."""
    os.environ.setdefault(
        "STEPSERVE_STRICT", "0"
    )  # a client for development would look for functions that do not replay
    client = Inngest(app_id="bench", is_production=False)

    @client.create_function(fn_id="f", trigger=TriggerEvent(event="bench/go"))
    async def function(ctx: Context) -> str:
        for number in range(int(str(ctx.event.data["steps"]))):
            await ctx.step.run(f"step {number}", _work)
        return "done"

    store = Store(path, synchronous=synchronous)
    async with Executor.embedded(client, [function], store=store) as executor:
        return await measure(executor, lambda runs, steps: _send(executor, runs, steps), rounds)


async def _work() -> dict[str, int]:
    return {"n": 1}


async def _send(executor: Executor, runs: int, steps: int) -> None:
    await executor.send(_events(runs, steps))


MEASUREMENTS = {"HTTP, raw app": over_http, "in process, raw app": in_process, "in process, our SDK": with_our_sdk}
"""How the app is called; each takes the database's path (None: in memory), `synchronous`, and the number of rounds."""


def _row(name: str, figures: dict[str, list[float]]) -> str:
    best = {"one": min, "runs": max, "steps": max, "cpu": min}
    cells = [
        f"{choose(figures[key]):>9,.{1 if key == 'one' else 0}f} / {statistics.median(figures[key]):<9,.0f}"
        for key, choose in best.items()
    ]
    return f"{name:<22}" + "".join(cells)


def main() -> None:
    """Run the measurements and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--synchronous", default="FULL", choices=["FULL", "NORMAL", "OFF"])
    parser.add_argument("--directory", default=None, help="where the database is written")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        import uvicorn

        uvicorn.run(raw_app, port=options.serve, log_level="error", access_log=False, lifespan="off")
        return
    setting = f"synchronous={options.synchronous}"
    print(f"SQLite file, {setting}, {options.rounds} rounds, best / median, {os.cpu_count()} CPUs")
    names = ("1 run of 10 steps, ms", "200 x 1 step, runs/s", f"{RUNS} x {STEPS}, steps/s", "CPU a step, µs")
    print(f"{'':<22}" + "".join(f"{name:^21}" for name in names))
    for name, measurement in MEASUREMENTS.items():
        with tempfile.TemporaryDirectory(dir=options.directory) as folder:
            path = str(Path(folder) / "bench.db")
            print(_row(name, asyncio.run(measurement(path, options.synchronous, options.rounds))), flush=True)


if __name__ == "__main__":
    main()
