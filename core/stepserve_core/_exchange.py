"""One request to a durable endpoint, as a framework's layer hands it to the core."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from stepserve_core._endpoint_answer import Answered, Plain, check_size
from stepserve_core._endpoint_events import EndpointEvents
from stepserve_core._protocol import Request
from stepserve_core._runtime import Runtime

if TYPE_CHECKING:
    from concurrent.futures import Future

    from stepserve_core.handler import Around

Work = Callable[[], Coroutine[Any, Any, None]]
"""What a streamed request does beside sending its answer; of a `def` route, it never suspends."""

Begin = Callable[[Work], "Future[None] | None"]
"""Begins work, in a thread or on an event loop; returns what can be waited for, if a thread can."""


FAILED = Plain(500, {}, b"")
"""How a route answers that raised an error which is no answer: the pages of its framework for that, we do not see."""


class Exchange:
    """One request to a route.

    Args:
        call: calls the user's route with the steps.
        read: reads what the route returned; of an `async def` route, it may be awaitable.
        read_error: reads errors that are answers, as of a page that is not found; None for all others. As `read`.
        begin: where the route runs while its answer is streamed; None for where the core would let it run.
        around: what the framework does around a route that does not run where its requests do.
    """

    def __init__(
        self,
        request: Request,
        call: Callable[[Any], Any],
        read: Callable[[Any], Answered | Awaitable[Answered]],
        read_error: Callable[[Exception], Plain | Awaitable[Plain | None] | None],
        *,
        begin: Begin | None = None,
        around: Around | None = None,
    ) -> None:
        self.request = request
        self.call = call
        self.read = read
        self.read_error = read_error
        self.begin = begin
        self.around = around
        self.returned: Any = None
        self.plain: Plain | None = None
        self.error: Exception | None = None
        self.events: EndpointEvents | None = None
        """Where its client hears what the route does; None where nobody listens."""
        self._end: Plain | None = None

    def take(self, answered: Answered) -> None:
        """Keep what the route answered.

        Raises:
            EndpointUnsupportedError: it is too large to be kept.
        """
        check_size(len(answered.plain.body))
        self.plain, self.returned = answered

    async def end(self) -> Plain:
        """Return what the run ends with; what the framework makes of an error that is no answer, it keeps to itself."""
        if self._end is not None:
            return self._end
        if self.error is not None:
            end: Plain = await awaited(self.read_error(self.error)) or FAILED
            self._end = end
            return end
        assert self.plain is not None
        return self.plain

    async def run_in_around(
        self, runtime: Runtime, serve: Callable[[], Coroutine[Any, Any, Plain | None]]
    ) -> Plain | None:
        """Serve the request elsewhere than where it came in, inside of what the framework does around that."""
        if self.around is None:
            return await serve()
        if runtime.is_async:
            async with self.around.loop():
                return await serve()
        with self.around.thread():
            return await serve()


async def awaited(value: Any) -> Any:
    """Return a value, or what it has to be awaited for."""
    return await value if isinstance(value, Awaitable) else value
