"""Tasks that begin at once, in place: what does not have to wait costs no turn of the event loop.

Python 3.12 and newer can do this themselves. For older ones, the task is given a coroutine that has begun already.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any


def start(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], on_task: Callable[[], object]) -> None:
    """Run `coroutine` in a task of its own: here as far as it comes without waiting, the rest on the loop.

    `on_task` is called when it makes another task while it runs here; once, so that the rest are made as ever.
    """
    factory = _UntilFirst(loop, on_task)
    if sys.version_info < (3, 12):
        begun = _Begun(coroutine)
        task: asyncio.Task[None] = loop.create_task(begun)
    factory.install()
    try:
        if sys.version_info < (3, 12):
            begun.begin(loop, task)
        else:
            asyncio.Task(coroutine, loop=loop, eager_start=True)
    finally:
        factory.remove()


def begin(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Run `coroutine` in a task of its own: here as far as it comes without waiting. None if that was all of it.

    The task is not made by the loop's task factory: that would take it for one that a function made.
    """
    if sys.version_info < (3, 12):
        begun = _Begun(coroutine)
        task: asyncio.Task[None] = asyncio.Task(begun, loop=loop)
        begun.begin(loop, task)
        return None if begun.is_over else task
    else:  # noqa: RET505 - what type checkers see for one version must not be seen for the other
        eager = asyncio.Task(coroutine, loop=loop, eager_start=True)
        return None if eager.done() and eager.result() is None else eager


class _UntilFirst:
    """A task factory that tells of the first task, and then gives way to the one that was there before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_task: Callable[[], object]) -> None:
        self._loop = loop
        self._on_task = on_task
        self._former: Any = loop.get_task_factory()

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        self._on_task()
        self.remove()
        if self._former is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        return self._former(loop, coroutine, **options)

    def install(self) -> None:
        """Make the tasks of the loop."""
        self._loop.set_task_factory(self)

    def remove(self) -> None:
        """Make none any more; a factory that has come since stays."""
        if self._loop.get_task_factory() is self:
            self._loop.set_task_factory(self._former)


if sys.version_info < (3, 12):

    class _Begun(Coroutine[Any, Any, None]):
        """A coroutine whose first part is run before its task gets to it, but as if by that task."""

        __slots__ = ("_awaited", "_context", "_coroutine", "_is_first", "is_over")

        def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
            self._coroutine = coroutine
            self._context = contextvars.copy_context()
            self._awaited: Any = None
            self._is_first = True
            self.is_over = False

        def begin(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
            outer = asyncio.current_task(loop)
            if outer is not None:
                asyncio.tasks._leave_task(loop, outer)
            asyncio.tasks._enter_task(loop, task)
            try:
                self._awaited = self._context.run(self._coroutine.send, None)
            except BaseException as error:
                self.is_over = True
                if not isinstance(error, StopIteration):
                    raise
            finally:
                asyncio.tasks._leave_task(loop, task)
                if outer is not None:
                    asyncio.tasks._enter_task(loop, outer)

        def send(self, value: Any) -> Any:
            if self.is_over:
                raise StopIteration
            if self._is_first:  # the task shall wait for what the first part waits for
                self._is_first = False
                return self._awaited
            return self._context.run(self._coroutine.send, value)

        def throw(self, *error: Any) -> Any:
            if self.is_over:
                raise StopIteration
            if self._is_first and self._awaited is not None:  # the task was cancelled before it knew this
                self._awaited.cancel()
            self._is_first = False
            return self._context.run(self._coroutine.throw, *error)

        def close(self) -> None:
            self._coroutine.close()

        @property
        def cr_frame(self) -> Any:
            """Where it is, for whoever asks a task for its stack."""
            return self._coroutine.cr_frame  # type: ignore[attr-defined]

        @property
        def cr_await(self) -> Any:
            """What it waits for."""
            return self._coroutine.cr_await  # type: ignore[attr-defined]

        def __await__(self) -> _Begun:  # for task factories that wrap a coroutine
            return self

        __iter__ = __await__

        def __next__(self) -> Any:
            return self.send(None)
