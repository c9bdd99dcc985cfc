"""What is bound to an event loop, and closed with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class LoopBound(Generic[T]):
    """One of something for each event loop, closed with its loop.

    Connections belong to the loop on which they were opened. Programs run many loops one after the other (scripts,
    tests, Lambda), so each loop gets its own.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._bound: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    async def get(self) -> T:
        """Return the one of the running loop."""
        import asyncio  # noqa: PLC0415 - a program that only serves calls does not pay for importing it

        loop = asyncio.get_running_loop()
        bound = self._bound.get(loop)
        if bound is None:
            self._forget_closed_loops()
            bound = self._bound[loop] = self._bind(loop)
            await bound[1].asend(None)
        return bound[0]

    def _bind(self, loop: asyncio.AbstractEventLoop) -> tuple[T, AsyncGenerator[None, None]]:
        made = self._make()

        async def close_with_loop() -> AsyncGenerator[None, None]:
            # A loop finishes its async generators before it closes; asyncio.run does so for everybody.
            try:
                yield
            finally:
                self._bound.pop(loop, None)
                await self._close(made)

        return made, close_with_loop()

    def _forget_closed_loops(self) -> None:
        """Forget loops that were closed without finishing their generators; their sockets went with them."""
        for loop in list(self._bound):  # a copy: other threads may add theirs
            if loop.is_closed():
                self._bound.pop(loop, None)
