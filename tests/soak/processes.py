"""The two processes of the soak, which are killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Process:
    """A process that dies and comes back with the same arguments.

    Args:
        make_arguments: returns the module and its arguments, anew for each start.
        port: where it listens.
        log: the file for what it writes to stderr.
        on_line: gets what it writes to stdout.
    """

    def __init__(
        self, make_arguments: Callable[[], list[str]], port: int, log: Path, on_line: Callable[[bytes], None]
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.kills = 0
        self._make_arguments = make_arguments
        self._port = port
        self._log = log
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self, patience: float = 60.0) -> bool:
        """Start it, and wait until it listens, or `patience` seconds; say whether it does."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", *self._make_arguments()]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=log, env=environment
            )
        self._reading = asyncio.create_task(self._read(self._process))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._listening(self._process), patience)
            return True
        return False

    async def _listening(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise self._ended(process)
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)

    def _ended(self, process: asyncio.subprocess.Process) -> RuntimeError:
        return RuntimeError(f"a process ended by itself, with {process.returncode}; see {self._log}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._on_line(line)

    async def end(self, number: signal.Signals) -> int:
        """Send it a signal and return its exit code."""
        assert self._process is not None
        if self._process.returncode is not None:
            raise self._ended(self._process)
        self._process.send_signal(number)
        self.kills += number is signal.SIGKILL
        code = await self._process.wait()
        if self._reading is not None:
            await self._reading
        return code


class ServerReports:
    """What servers said about faults, added up over those that died."""

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self.wrong: set[str] = set()

    @property
    def injected(self) -> Counter[str]:
        """Faults by kind."""
        return self._before + self._now

    def on_line(self, line: bytes) -> None:
        """Take in a line of a server; the last one of a server that was killed may be cut."""
        with contextlib.suppress(ValueError):
            said: dict[str, Any] = json.loads(line)
            self._now = Counter(said["injected"])
            self.wrong.update(said["wrong"])

    def next_server(self) -> None:
        """Count anew: a server begins at zero."""
        self._before, self._now = self._before + self._now, Counter()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
