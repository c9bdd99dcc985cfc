"""The answer of a durable endpoint to a client that listens: a body that grows while the route runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from stepserve_core._endpoint_events import EVENT_STREAM
from stepserve_core._exchange import Work
from stepserve_core._pipe import Pipe
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, run_sync
from stepserve_core._threads import background_loop, start_task, threads

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

KEEP_ALIVE = 15.0
"""Seconds of silence after which a client is told that we are still there."""

_COMMENT = b":\n\n"

_working: set[asyncio.Task[Any]] = set()


class EventStream:
    """A streamed answer, with the status 200; how it is sent depends on the server, not on the colour of the route."""

    def __init__(self, pipe: Pipe, work: Future[None] | None = None) -> None:
        self.headers = {"content-type": EVENT_STREAM, "cache-control": "no-cache", "x-accel-buffering": "no"}
        self._pipe = pipe
        self._work = work

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the body, to servers that wait for it in a thread.

        If the client goes away, the route goes on to its end as it would without streaming: in the time of this thread.
        """
        runtime = SyncRuntime()
        try:
            while (piece := run_sync(self._pipe.next(runtime, KEEP_ALIVE))) is not None:
                yield piece or _COMMENT
        finally:
            self._pipe.abandon()
            if self._work is not None:
                from concurrent.futures import wait  # noqa: PLC0415 - only what streams pays for importing it

                wait([self._work])

    async def achunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body, to servers that wait for it on an event loop. If the client goes away, the route goes on."""
        runtime = AsyncRuntime()
        try:
            while (piece := await self._pipe.next(runtime, KEEP_ALIVE)) is not None:
                yield piece or _COMMENT
        finally:
            self._pipe.abandon()


def in_thread(work: Work) -> Future[None]:
    """Let a `def` route run in a thread of the pool."""
    return threads.submit(lambda: run_sync(work()))


def on_this_loop(work: Work) -> None:
    """Let an `async def` route run on the running loop, whatever becomes of the request that began it."""
    task = start_task(work())
    _working.add(task)  # the loop itself does not keep tasks alive
    task.add_done_callback(_working.discard)


def on_background_loop(work: Work) -> None:
    """Let an `async def` route run on the loop of the process, where its server has none, or none that lasts."""

    async def start() -> None:
        on_this_loop(work)

    background_loop.run(start)
