"""Row about whole requests over HTTP: uvicorn, FastAPI, one worker in its own process (design.md 9)."""

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.sdk import calls
from benchmarks.sdk.calls import Request
from benchmarks.sdk.measure import Samples, progress
from benchmarks.sdk.rows.process import CHILD
from benchmarks.sdk.subjects import Failure
from benchmarks.sdk.table import Goal, Result, Row

CONNECTIONS = 16
SECONDS = 2.0


def http_rows(subjects: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure requests per second of a 1 KB signed call, and the server's CPU for each request."""
    body = calls.call_body("bench/field", calls.event_data(calls.EVENT_KB, 0), {})
    request = calls.request("field", body, signed=True)
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    costs: dict[str, list[float]] = {name: [] for name in subjects}
    failures: dict[str, Result] = {}
    with contextlib.ExitStack() as stack:
        servers: dict[str, tuple[int, psutil.Process]] = {}
        for name in subjects:
            try:
                servers[name] = stack.enter_context(child_server("serve", name))
            except ChildProcessError as error:
                failures[name] = Failure.of(error)
        for number in range(min(rounds, 3) + 1):
            for name, (port, process) in servers.items():
                progress(f"http, {name}, round {number}" if number else f"http, {name}, warm-up")
                before = _cpu(process)
                answered, failed, seconds = _load(port, request, SECONDS if number else 0.5)
                if failed or not answered:
                    failures[name] = Failure(f"{failed:,} of {answered:,} not 200")
                elif number > 0:
                    rates[name].append(answered / seconds)
                    costs[name].append((_cpu(process) - before) / answered)
    group = f"over HTTP, 1 KB signed call, {CONNECTIONS} kept-alive connections, load from {_loader()}"

    def results(values: dict[str, list[float]]) -> dict[str, Result]:
        return {name: failures.get(name) or Samples(taken) for name, taken in values.items()}

    yield Row(group, "requests per second", "req/s", results(rates), Goal(at_least=5_000))
    yield Row(group, "CPU of the server per request", "µs", results(costs))


@contextlib.contextmanager
def child_server(*arguments: str) -> Iterator[tuple[int, psutil.Process]]:
    """Start one of child.py's servers; give its port and its process, and end it afterwards."""
    process = subprocess.Popen([sys.executable, str(CHILD), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise ChildProcessError(f"child.py {' '.join(arguments)} did not start")
        yield int(port), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _loader() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio"


def _load(port: int, request: Request, seconds: float) -> tuple[int, int, float]:
    """Load the server for a while. Returns the number of answers, how many of them were not 200, and the seconds."""
    if _loader() == "wrk":
        return _load_with_wrk(port, request, seconds)
    return asyncio.run(_load_with_asyncio(port, request, seconds))


def _load_with_wrk(port: int, request: Request, seconds: float) -> tuple[int, int, float]:
    own = {"host", "content-length"}
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in request.headers if name not in own)
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body.json"), Path(folder, "call.lua")
        body.write_bytes(request.body)
        script.write_text(
            f'wrk.method = "POST"\nlocal file = io.open("{body}", "rb")\n'
            f'wrk.body = file:read("*a")\nfile:close()\n{headers}'
            "done = function(summary)\n"
            "  local counts = {summary.requests, summary.errors.status, summary.duration}\n"
            '  io.write(string.format("result %d %d %d\\n", unpack(counts)))\n'
            "end\n"
        )
        url = f"http://127.0.0.1:{port}{calls.SERVE_PATH}?{request.query}"
        whole = f"{max(1, round(seconds))}s"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{whole}", "-s", str(script), url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^result (\d+) (\d+) (\d+)$", output, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk printed no result: {output}")
    return int(found[1]), int(found[2]), int(found[3]) / 1e6


async def _load_with_asyncio(port: int, request: Request, seconds: float) -> tuple[int, int, float]:
    head = f"POST {calls.SERVE_PATH}?{request.query} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    message = head.encode() + b"\r\n" + request.body
    start = time.perf_counter()
    counts = await asyncio.gather(*(_connection(port, message, start + seconds) for _ in range(CONNECTIONS)))
    answered, failed = (sum(column) for column in zip(*counts, strict=True))
    return answered, failed, time.perf_counter() - start


async def _connection(port: int, message: bytes, until: float) -> tuple[int, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = failed = 0
    while time.perf_counter() < until:
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
        answered += 1
        failed += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    return answered, failed
