"""Bytes on their way from a route to its client: from any thread or event loop to any other, and never too many.

A writer waits for room. One that finds none for `PATIENCE` seconds gives the reader up: from then on nothing is kept,
and whoever writes goes on at once. So no client holds up a run.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    from concurrent.futures import Future

ROOM = 64 * 1024
"""Bytes that wait for a reader before writers do."""

MOST = 1024 * 1024
"""Bytes that wait where writers cannot wait; who adds to more gives the reader up."""

PATIENCE = 30.0
"""Seconds for which a writer waits for a reader that takes nothing."""


class Pipe:
    """A buffer with one reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[bytes] = []
        self._size = 0
        self._changed: Future[None] | None = None
        self.is_closed = False
        """Whether nothing more comes, or nobody reads it."""

    @property
    def is_empty(self) -> bool:
        """Say whether nothing waits."""
        return not self._pieces

    async def make_room(self, runtime: Runtime) -> None:
        """Wait until there is room, or nobody reads any more."""
        while True:
            with self._lock:
                if self.is_closed or self._size < ROOM:
                    return
                change = self._next_change()
            if not await wait(runtime, change, PATIENCE):
                self.abandon()

    def put(self, piece: bytes) -> None:
        """Add something, at once."""
        with self._lock:
            if self.is_closed:
                return
            if self._size > MOST:
                self._drop()
                return
            self._pieces.append(piece)
            self._size += len(piece)
            self._tell()

    def take(self, most: int = sys.maxsize) -> bytes:
        """Return whole pieces that wait, which may be none: the first, and more up to `most` bytes."""
        with self._lock:
            count, size = 0, 0
            while count < len(self._pieces) and (not count or size + len(self._pieces[count]) <= most):
                size += len(self._pieces[count])
                count += 1
            taken, self._pieces = b"".join(self._pieces[:count]), self._pieces[count:]
            self._size -= size
            self._tell()
            return taken

    async def next(self, runtime: Runtime, seconds: float) -> bytes | None:
        """Return what comes next; nothing (b"") if that is nothing for some seconds, None at the end."""
        with self._lock:
            if self.is_closed and not self._pieces:
                return None
            change = None if self._pieces else self._next_change()
        if change is not None:
            await wait(runtime, change, seconds)
        return self.take() or (None if self.is_closed else b"")

    def close(self) -> None:
        """Let nothing more in; what waits can still be read."""
        with self._lock:
            self.is_closed = True
            self._tell()

    async def drain(self, runtime: Runtime) -> None:
        """Let nothing more in; wait for the reader where it is ours."""
        del runtime
        self.close()

    def abandon(self) -> None:
        """Read no more."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self.is_closed = True
        self._pieces, self._size = [], 0
        self._tell()

    def _next_change(self) -> Future[None]:
        if self._changed is None:
            from concurrent.futures import Future  # noqa: PLC0415 - only what streams pays for importing it

            self._changed = Future()
        return self._changed

    def _tell(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)


async def wait(runtime: Runtime, future: Future[None], seconds: float) -> bool:
    """Wait for something that another thread does, for some seconds; say whether it is done."""
    if runtime.is_async:
        import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

        await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds)
    else:
        from concurrent.futures import wait as wait_for  # noqa: PLC0415 - as above

        wait_for([future], seconds)
    return future.done()
