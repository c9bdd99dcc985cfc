"""Running `stepserve` as users do: as a process."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import stepserve
import stepserve_core

_ROOTS = (Path(stepserve_core.__file__).parents[1], Path(stepserve.__file__).parents[1])
_LISTENS = re.compile(r"stepserve listens at (http://[\w.:]+)")


def environment(**own: str) -> dict[str, str]:
    """Return the environment of a child: this package on its path, nothing set up for Inngest but `own`.

    Servers do not look for apps by themselves: whatever else runs on this machine is not the test's.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INNGEST_")}
    inherited["INNGEST_NO_DISCOVERY"] = "1"
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(str, _ROOTS)), **own}


def stepserve_command(*arguments: str) -> list[str]:
    """Return the command line that runs `stepserve`."""
    return [sys.executable, "-m", "stepserve", *arguments]


def run_stepserve(
    *arguments: str, variables: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run `stepserve` to its end."""
    return subprocess.run(
        stepserve_command(*arguments),
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Server:
    """`stepserve dev` or `start` that runs; `log` are the lines that it has written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self.wait_for(_LISTENS)[1]

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Return the match of the first new line that has one."""
        while True:
            line = self._lines.get(timeout=30)

            assert line is not None, f"the server ended: {self.log}"
            match = pattern.search(line)
            if match is not None:
                return match

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def running(
    *arguments: str, variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> Generator[Server]:
    """Run a server until the block is left; then it must end by itself, with exit code 0."""
    with child(stepserve_command(*arguments), environment(**(variables or {})), folder) as process:
        yield Server(process)
        process.terminate()

        assert 0 == process.wait(20)


@contextmanager
def child(
    command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
) -> Generator[subprocess.Popen[str]]:
    """Run a process that does not outlive the block."""
    with subprocess.Popen(
        command, env=variables, cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_app(port: int) -> None:
    """Wait until an app answers."""
    for _ in range(400):
        try:
            httpx.get(f"http://127.0.0.1:{port}/api/inngest")
        except httpx.TransportError:
            continue
        return
    pytest.fail("the app did not start")
