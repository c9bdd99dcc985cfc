"""A parallel group of an async function, as long as its branches are run."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any


class OpenGroup:
    """Lets the branches of a group that were not begun go on in a task of their own.

    Args:
        groups: those of the function that may still be asked to; this one is the last.
        go_on: runs the branches that nobody has begun.
    """

    __slots__ = ("_context", "_go_on", "_groups", "task")

    def __init__(self, groups: list[OpenGroup], go_on: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._groups = groups
        self._go_on = go_on
        self._context = contextvars.copy_context()  # the branches see the variables that the function has set
        self.task: asyncio.Task[None] | None = None
        """Runs them, once it was necessary."""
        groups.append(self)

    def begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Let them go on."""
        self._groups.remove(self)
        self.task = self._context.run(loop.create_task, self._go_on())
        return self.task

    def close(self) -> None:
        """Note that all branches were begun, or none will be."""
        if self in self._groups:
            self._groups.remove(self)
