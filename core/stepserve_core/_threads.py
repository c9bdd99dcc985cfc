"""Where work goes on beside its caller: pools of threads, the event loop of the process, tasks."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

THREAD_POOL_VARIABLE = "INNGEST_THREAD_POOL_MAX_WORKERS"

_MOST_SENDERS = 64


class Threads:
    """The pool in which sync functions run under async frameworks.

    Bounded: a call that finds no free thread waits, and its request with it, so that the server sees the delay.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread that sees the caller's context variables."""
        import asyncio  # noqa: PLC0415

        if _max_workers() == 0:
            return function()
        return await asyncio.wrap_future(self.submit(function))

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Begin to call `function` in a thread that sees the caller's context variables."""
        return self._get().submit(contextvars.copy_context().run, function)

    def _get(self) -> ThreadPoolExecutor:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._workers or _max_workers() or None, "stepserve")
        return self._pool


def start_task(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin to run a coroutine on the running loop."""
    import asyncio  # noqa: PLC0415

    return asyncio.get_running_loop().create_task(coroutine)


def is_on_loop() -> bool:
    """Say whether an event loop runs in this thread."""
    import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class BackgroundLoop:
    """The event loop on which async functions run under sync frameworks.

    There is one for the process, and it lives as long, so that connection pools and other things bound to a
    loop survive from one call to the next.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine there and wait for its result; it sees the caller's context variables."""
        import asyncio  # noqa: PLC0415

        return asyncio.run_coroutine_threadsafe(start(), self._get()).result()

    def _get(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            import asyncio  # noqa: PLC0415

            with self._lock:
                if self._loop is None:
                    loop = asyncio.new_event_loop()
                    threading.Thread(target=loop.run_forever, name="stepserve-loop", daemon=True).start()
                    self._loop = loop
        return self._loop


def _max_workers() -> int | None:
    text = os.environ.get(THREAD_POOL_VARIABLE, "").strip()
    return int(text) if text.isdecimal() else None


threads = Threads()
senders = Threads(_MOST_SENDERS)
"""For requests beside functions; never in their pool, where they could wait for those that wait for them."""

background_loop = BackgroundLoop()


def _forget_threads() -> None:
    """Start anew in a forked child: threads do not survive a fork (gunicorn with --preload, Celery)."""
    threads.__init__()  # type: ignore[misc]
    senders.__init__(_MOST_SENDERS)  # type: ignore[misc]
    background_loop.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
