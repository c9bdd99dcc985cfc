"""The colours: how the engine calls user code, waits and finishes, for `def` and for `async def` functions.

This is the only module that tells them apart (`_parallel` is its asyncio half). `SyncRuntime` never suspends,
so `run_sync` drives the same coroutines with one `send(None)`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from stepserve_core._colour import NO_BRANCH_REACHED_TARGET, Verdict, is_awaitable
from stepserve_core._interrupts import Abort, Interrupt
from stepserve_core._threads import senders
from stepserve_core.errors import AsyncUnsupportedError, StepUnexpectedError

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from stepserve_core._engine import Run
    from stepserve_core._found import Found, Report
    from stepserve_core._open_group import OpenGroup
    from stepserve_core._parallel import Discovery

T = TypeVar("T")

_NOTHING: Any = None


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of the core to its end, at once.

    Raises:
        RuntimeError: it waited for something that is not a method of `SyncRuntime`.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError(f"{_name(coroutine)} waited for something that is not a Runtime")


def run_in_colour(runtime: Runtime, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what the handler of a step returns: the coroutine in async functions, its result in sync ones."""
    return coroutine if runtime.is_async else run_sync(coroutine)


class SyncRuntime:
    """For `def` functions: everything happens in place, in the calling thread."""

    is_async = False

    async def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call `function`.

        Raises:
            AsyncUnsupportedError: it is async.
        """
        result = function(*args)
        return await self.settle(function, result) if is_awaitable(result) else result

    async def settle(self, function: Callable[..., Any], result: Any) -> Any:
        """Refuse what `function` returned, which would have to be awaited.

        Raises:
            AsyncUnsupportedError: always.
        """
        if inspect.iscoroutine(result):
            result.close()
        raise AsyncUnsupportedError(
            f"{_name(function)} is async, but the function it works for is not; make both async, or neither"
        )

    async def gather(self, *calls: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run independent calls; here, one after the other."""
        return [await call() for call in calls]

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        threading.Event().wait(seconds)

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> Future[None]:
        """Begin to do something in another thread, while the function goes on."""
        return senders.submit(lambda: run_sync(work(SyncRuntime())))

    async def join(self, begun: Future[None]) -> None:
        """Wait for what `begin` began."""
        begun.result()

    async def complete(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """Do something to its end."""
        await work(self)

    def later(self, seconds: float, call: Callable[[], object]) -> threading.Timer:
        """Call something after a while, in a thread of its own; `cancel` forgets it."""
        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()
        return timer

    async def execute(self, run: Run, body: Callable[..., Any], context: object) -> Any:
        """Run a user's function to its end. What it was interrupted for counts, whatever it did on its way out."""
        output = None
        try:
            output = await self.call(body, context)
        except Exception:
            if run.departure is None:
                raise
        if run.departure is not None:
            raise run.departure
        return output

    async def choose(self, run: Run, found: Found) -> Verdict:
        """Decide at once: a sync function cannot reach another step before this one is answered."""
        return run.alone(found)

    async def finish(self, run: Run, reports: list[Report]) -> NoReturn:
        """Leave the function."""
        raise run.leave(Interrupt(reports))

    async def fail(self, run: Run, error: Exception) -> NoReturn:
        """Leave the function with an error."""
        raise run.leave(Abort(error))

    async def report(self, run: Run, found: list[Found]) -> NoReturn:
        """Leave the function with the plans of a parallel group."""
        if not found:
            raise run.leave(Abort(StepUnexpectedError(NO_BRANCH_REACHED_TARGET)))
        raise run.leave(Interrupt([run.plan(step) for step in found]))

    def open_group(self, go_on: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do nothing: no branch waits for another thread of control."""

    def resume(self) -> None:
        """Do nothing: there is nothing to wait for."""

    def owner(self) -> object:
        """Return the same for all: there is one thread of control."""
        return None


class AsyncRuntime:
    """For `async def` functions, on the running event loop. One serves one run."""

    is_async = True

    def __init__(self) -> None:
        self.discovery: Discovery = _NOTHING  # set while a function is being executed

    async def call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call `function`, and await what it returns if that can be awaited."""
        result = function(*args)
        return await result if is_awaitable(result) else result

    async def settle(self, function: Callable[..., Any], result: Any) -> Any:
        """Await what `function` returned."""
        del function
        return await result

    async def gather(self, *calls: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run independent calls at the same time."""
        import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

        return list(await asyncio.gather(*[call() for call in calls]))

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the loop."""
        import asyncio  # noqa: PLC0415

        await asyncio.sleep(seconds)

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Begin to do something in a task, while the function goes on.

        The loop's task factory is passed by: it would take the task for one that the function made.
        """
        import asyncio  # noqa: PLC0415

        return asyncio.Task(work(self), loop=asyncio.get_running_loop())

    async def join(self, begun: asyncio.Task[None]) -> None:
        """Wait for what `begin` began, which goes on where the waiting is cancelled."""
        import asyncio  # noqa: PLC0415

        await asyncio.wait([begun])
        begun.result()

    async def complete(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """Do something to its end, even where the waiting for it is cancelled."""
        import asyncio  # noqa: PLC0415

        from stepserve_core import _eager  # noqa: PLC0415 - it imports asyncio

        begun = _eager.begin(asyncio.get_running_loop(), work(self))
        if begun is not None:
            await self.join(begun)

    def later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Call something after a while; `cancel` forgets it."""
        import asyncio  # noqa: PLC0415

        return asyncio.get_running_loop().call_later(seconds, call)

    def execute(self, run: Run, body: Callable[..., Any], context: object) -> Coroutine[Any, Any, Any]:
        """Run a user's function in a task of its own, until it ends or has something to report."""
        self.discovery = _discovery_class()(run)
        return self.discovery.execute(body, context)

    def choose(self, run: Run, found: Found) -> Coroutine[Any, Any, Verdict]:
        """Wait until it is clear what else the function reaches."""
        del run
        return self.discovery.choose(found)

    def finish(self, run: Run, reports: list[Report]) -> Coroutine[Any, Any, NoReturn]:
        """Report, and leave the function."""
        del run
        return self.discovery.finish(reports)

    async def fail(self, run: Run, error: Exception) -> NoReturn:
        """End the function with an error."""
        del run
        if self.discovery is _NOTHING:
            raise Abort(error)
        await self.discovery.fail(error)

    async def report(self, run: Run, found: list[Found]) -> NoReturn:
        """Add the steps of a parallel group to what was found, and wait here to be cancelled."""
        del run
        await self.discovery.park_group(found)

    def open_group(self, go_on: Callable[[], Coroutine[Any, Any, None]]) -> OpenGroup:
        """Note that the branches of a group are being run; `go_on` runs those that were not begun, in a task."""
        return self.discovery.open_group(go_on)

    def resume(self) -> None:
        """Go on deciding about other steps."""
        self.discovery.step_failed()

    def owner(self) -> object:
        """Return the running task."""
        return self.discovery.current_task(self.discovery.loop)


@functools.cache
def _discovery_class() -> type[Discovery]:
    from stepserve_core._parallel import Discovery  # noqa: PLC0415 - sync programs do not pay for importing asyncio

    return Discovery


Runtime = SyncRuntime | AsyncRuntime


def _name(function: object) -> str:
    return getattr(function, "__qualname__", "") or repr(function)
