"""A run of 999 steps on our executor, with and without checkpointing: CPU of the app's process, and how long it takes.

    PYTHONPATH=core:adapters python benchmarks/checkpointing.py [--rounds 5]

The executor is durable and a process of its own; the app runs under uvicorn in this one. Of several rounds the best
counts: other work on the machine only ever adds. 999, because a run that reaches 1,000 steps is not called again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable
from typing import NamedTuple

import httpx
import uvicorn

import stepserve.asgi
from stepserve import Checkpointing, Context, ContextSync, Event, Inngest, TriggerEvent
from stepserve_core.executor.listening import QuietServer

STEPS = 999
SETTINGS: dict[str, bool | Checkpointing] = {
    "off": False,
    "1": True,
    "10": Checkpointing(batch_steps=10),
    "100": Checkpointing(batch_steps=100),
}
_SERVER = """
import sys
from stepserve_core.executor.server import ServerConfig, run
run(
    ServerConfig(port=int(sys.argv[1]), database=sys.argv[2], poll=False),
    on_started=lambda url: print(url, flush=True)
)
"""


class Cost(NamedTuple):
    """Seconds of one run."""

    cpu: float
    wall: float


def work(number: int) -> dict[str, int]:
    """Return what each step returns."""
    return {"number": number}


def mount(client: Inngest, ended: asyncio.Event) -> stepserve.asgi.ASGIApp:
    """Return an app with a function of each colour for each setting."""
    loop = asyncio.get_running_loop()
    functions: list[stepserve.Function[None]] = []
    for name, settings in SETTINGS.items():

        @client.create_function(
            fn_id=f"sync-{name}", trigger=TriggerEvent(event=f"sync/{name}"), checkpointing=settings
        )
        def sync_one(ctx: ContextSync) -> None:
            for number in range(STEPS):
                ctx.step.run(f"step-{number}", work, number)
            loop.call_soon_threadsafe(ended.set)

        @client.create_function(
            fn_id=f"async-{name}", trigger=TriggerEvent(event=f"async/{name}"), checkpointing=settings
        )
        async def async_one(ctx: Context) -> None:
            for number in range(STEPS):
                await ctx.step.run(f"step-{number}", work, number)
            ended.set()

        functions += [sync_one, async_one]
    return stepserve.asgi.serve(client, functions)


@contextlib.asynccontextmanager
async def running() -> AsyncGenerator[tuple[Inngest, asyncio.Event], None]:
    """Start the executor and the app; give its client, and what is set when a function has returned."""
    # A client for development would look for functions that do not replay, at each memo of each call.
    os.environ.setdefault("STEPSERVE_STRICT", "0")
    with socket.create_server(("127.0.0.1", 0)) as unused, tempfile.TemporaryDirectory() as directory:
        port = str(unused.getsockname()[1])
        unused.close()
        command = [sys.executable, "-c", _SERVER, port, f"{directory}/runs.db"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            client = Inngest(app_id="bench", is_production=False, api_base_url=url, event_api_base_url=url)
            ended = asyncio.Event()
            server = QuietServer(uvicorn.Config(mount(client, ended), log_config=None, lifespan="off"))
            # asyncio sends without delay (TCP_NODELAY) only where the socket says TCP: otherwise 40 ms for each answer.
            listener = socket.socket(proto=socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            await server.listening.wait()
            async with httpx.AsyncClient() as http:
                await http.put(f"http://127.0.0.1:{listener.getsockname()[1]}/api/inngest", timeout=30)
            yield client, ended
            server.stop()
            await task
            process.terminate()


async def measure(rounds: int, settings: Iterable[str] = SETTINGS) -> dict[str, list[Cost]]:
    """Return what each round took, for each function with one of these settings."""
    costs: dict[str, list[Cost]] = {f"{colour}/{name}": [] for name in settings for colour in ("sync", "async")}
    async with running() as (client, ended):
        for _ in range(rounds):
            for name, taken in costs.items():
                ended.clear()
                cpu, wall = time.process_time(), time.perf_counter()
                await client.send(Event(name=name))
                await ended.wait()
                taken.append(Cost(time.process_time() - cpu, time.perf_counter() - wall))
                await asyncio.sleep(0.1)  # the answer is on its way
    return costs


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    costs = asyncio.run(measure(parser.parse_args().rounds))
    print(f"{'function/batch_steps':<22}{'CPU of the app, s':>18}{'from event to end, s':>22}")
    for name, taken in costs.items():
        cpu, wall = (min(seconds) for seconds in zip(*taken, strict=True))
        print(f"{name:<22}{cpu:>18.3f}{wall:>22.3f}")


if __name__ == "__main__":
    main()
