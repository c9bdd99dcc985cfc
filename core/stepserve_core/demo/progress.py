"""Progress while the demo works: a line for everything that happens, and on a terminal a live line below them."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.text import Text


class Progress:
    """Writes lines, each with the seconds since the start. In files and pipes there is no live line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def seconds(self) -> float:
        """The seconds since the start."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._console.print(Text.assemble((f"{self.seconds:6.2f} s  ", "dim"), text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Change the live line."""
        if self._status is not None:
            self._status.update(text)
