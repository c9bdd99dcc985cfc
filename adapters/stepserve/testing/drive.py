"""Driving the executor: from here to where nothing is left to do now, and no further than makes sense."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
from collections import Counter
from types import FrameType
from typing import TYPE_CHECKING, Any

from stepserve.testing.errors import BlockedError, HarnessError, NeverIdleError
from stepserve_core.executor.caller import Caller
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.decisions import Decision
from stepserve_core.testing import is_on_loop

if TYPE_CHECKING:
    from stepserve.testing.session import Session

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class Drive:
    """Runs the executor's loop while a test waits for it, and not otherwise.

    Args:
        session: what is driven.
        timeout: seconds of real time without any progress after which a function counts as blocked.
        max_calls: calls after which one method of the harness gives up.
    """

    def __init__(self, session: Session, timeout: float, max_calls: int) -> None:
        self._session = session
        self._timeout = timeout
        self._max_calls = max_calls
        self._calls: Counter[str] = Counter()
        self._finished = 0
        self._exhausted = asyncio.Event()

    def begin(self) -> None:
        """Count calls anew."""
        self._calls.clear()

    async def decide(self, caller: Caller, item: Claim) -> list[Decision]:
        """Carry out one item."""
        self._calls[item.function.slug] += 1
        if self._calls.total() > self._max_calls:
            self._exhausted.set()
            await asyncio.Event().wait()  # until the loop is stopped, which gives the item back
        decisions = await self._session.decide(caller, item)
        self._finished += 1
        return decisions

    async def settle(self) -> None:
        """Run what can run at this moment.

        Raises:
            NeverIdleError: there was no end to it.
            BlockedError: a function did not come back.
            HarnessError: a step could not do what the test lets it do.
        """
        _require_asyncio()
        loop = self._session.executor.loop
        self._exhausted = asyncio.Event()
        loop.reset()
        running = asyncio.ensure_future(loop.run())
        idle, exhausted = asyncio.ensure_future(loop.idle()), asyncio.ensure_future(self._exhausted.wait())
        try:
            await self._wait(running, idle, exhausted)
        finally:
            idle.cancel()
            exhausted.cancel()
            await loop.stop(0)
            await running
        problem, self._session.stubs.problem = self._session.stubs.problem, None
        if problem is not None:
            raise problem

    async def _wait(
        self, running: asyncio.Future[None], idle: asyncio.Future[None], exhausted: asyncio.Future[Any]
    ) -> None:
        while True:
            before = self._finished
            done, _ = await asyncio.wait(
                (running, idle, exhausted), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if exhausted in done:
                raise NeverIdleError(self._endless())
            if done:
                return
            if before == self._finished:
                raise BlockedError(self._blocked())

    def _endless(self) -> str:
        counts = ", ".join(f"{self._session.local_id(slug)!r} {n} times" for slug, n in self._calls.most_common(3))
        queued = {event.name for event in self._session.look(lambda tables: tables.events.of_users()[-20:])}
        events = f"; the last events were {', '.join(sorted(queued))}" if queued else ""
        return (
            f"no end in sight after {self._max_calls} calls: {counts}{events}. Do functions start each"
            " other, or a schedule fire often? Advance the clock less far, or pass Harness(max_calls=…)"
        )

    def _blocked(self) -> str:
        lines = [self._describe(item) for item in self._session.executor.loop.under_way]
        return (
            f"no function came back within {self._timeout:g} s of real time. Only steps wait in virtual time; what"
            " waits for the outside needs a stub, or a longer Harness(timeout=…). Under way:\n" + "\n".join(lines)
        )

    def _describe(self, item: Claim) -> str:
        local_id = self._session.local_id(item.function.slug)
        function = next((one for one in self._session.functions if one.id == item.function.slug), None)
        where = "" if function is None else _location(getattr(function.handler, "__code__", None))
        steps = self._session.look(lambda tables: tables.steps.rows(item.run.id))
        done = ", ".join(repr(step.name) for step in steps if step.memo is not None) or "none"
        return f"- {local_id!r}, run {item.run.id}, attempt {item.work.attempt}{where}; finished steps: {done}"


def _require_asyncio() -> None:
    if not is_on_loop():
        raise HarnessError(
            "a harness runs functions on asyncio, and this test runs on something else; for anyio, define a fixture"
            " `anyio_backend` that returns 'asyncio'"
        )


def _location(code: object) -> str:
    """Say where a running function is, by the code of its handler."""
    for task in asyncio.all_tasks():
        frames = _frames_of(task.get_coro())
        if any(frame.f_code is code for frame in frames):
            return _at(frames)
    for frame in sys._current_frames().values():
        frames = _frames_above(frame, code)
        if frames:
            return _at(frames)
    return ""


def _frames_above(top: FrameType, code: object) -> list[FrameType]:
    """Return the frames of a thread from that of `code` on, the outermost first; none where it does not run it."""
    frames = [top]
    while frames[-1].f_code is not code:
        if frames[-1].f_back is None:
            return []
        frames.append(frames[-1].f_back)
    return frames[::-1]


def _frames_of(awaited: object) -> list[FrameType]:
    """Return the frames of a coroutine and of what it awaits, the outermost first."""
    frames: list[FrameType] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is None:
            break
        frames.append(frame)
        awaited = getattr(awaited, "cr_await", None)
    return frames


def _at(frames: list[FrameType]) -> str:
    """Name the innermost frame that is of no library."""
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(_LIBRARIES)]
    frame = (own or frames)[-1]
    return f", at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}()"
