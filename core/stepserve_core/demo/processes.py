"""Child processes of the demo: started with a log file each, awaited by handle, always stopped."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import httpx

from stepserve_core.cli.problems import Problem

POLL = 0.03
"""Seconds between two looks at something that a child is to do."""

_GRACE = 6.0
"""Seconds that a child has to end by itself; the executor gives calls in flight five."""

_TAIL_LINES = 20


class Child:
    """A server in a process of its own. What it writes goes to a file, of which the end is shown if it dies."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this process only, which then stops the children in order.
            self._process = subprocess.Popen(  # noqa: S603 - commands of this package only
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def require_alive(self) -> None:
        """Raise what the child said if it has ended.

        Raises:
            Problem: it is gone; the end of its log follows.
        """
        code = self._process.poll()
        if code is not None:
            raise Problem(f"{self.name} ended with exit code {code}. The end of its log:\n{self.tail()}")

    def wait_until_answering(self, url: str, deadline: float) -> None:
        """Return once the child answers HTTP at `url`, whatever the status. `deadline` is of `time.monotonic()`.

        Raises:
            Problem: it has ended, or does not answer in time.
        """
        while True:
            self.require_alive()
            try:
                httpx.get(url, timeout=2, trust_env=False)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise Problem(f"{self.name} does not answer at {url}. The end of its log:\n{self.tail()}") from None
                time.sleep(POLL)
            else:
                return

    def tail(self) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def ask_to_stop(self) -> None:
        """Ask it to end; does not wait."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """End it, by force if it does not go by itself, and wait until it is gone."""
        self.ask_to_stop()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Reached on a second Ctrl-C too. Killing what has ended does nothing.
            self._process.kill()
            self._process.wait()


class Children:
    """All children; `folder` gets their logs. Leaving the context asks all of them to end, then waits for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:  # goes on with the others if stopping one of them is interrupted
            for child in self._all:
                stack.callback(child.stop)
            for child in self._all:
                child.ask_to_stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Child:
        """Start a child in `folder`."""
        child = Child(name, command, environment, folder, self._folder / f"{name}.log")
        self._all.append(child)
        return child

    def require_alive(self) -> None:
        """Raise what a child said if one of them has ended."""
        for child in self._all:
            child.require_alive()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
