"""The one source of time of the executor: real, or virtual for tests.

All moments are Unix seconds in UTC, as floats.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

LONGEST_WAIT = 30.0
"""Seconds after which the real clock is read again while somebody waits for a moment: timers of the event
loop stand still while a machine is suspended, and the wall clock may be set."""


class Clock(Protocol):
    """Tells the time and waits for moments."""

    def now(self) -> float:
        """Return the current moment."""
        ...

    async def wait(self, wake: asyncio.Event, until: float | None) -> None:
        """Return when `wake` is set or the moment `until` has come; without `until` only `wake` ends the wait."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the current moment."""
        return time.time()

    async def wait(self, wake: asyncio.Event, until: float | None) -> None:
        """Return when `wake` is set, `until` has come, or after `LONGEST_WAIT`: callers look at the time again."""
        timeout = None if until is None else min(max(until - self.now(), 0.0), LONGEST_WAIT)
        try:
            await asyncio.wait_for(wake.wait(), timeout)
        except asyncio.TimeoutError:
            return


class VirtualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._waiting: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        """Return the current moment."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward and end the waits for moments that have come."""
        self.advance_to(self._now + seconds)

    def advance_to(self, moment: float) -> None:
        """Move the clock to `moment` unless it is past it already."""
        self._now = max(self._now, moment)
        for until, wake in self._waiting:
            if until <= self._now:
                wake.set()

    async def wait(self, wake: asyncio.Event, until: float | None) -> None:
        """Return when `wake` is set or the clock was moved to `until`."""
        if until is None:
            await wake.wait()
            return
        if until <= self._now:
            return
        entry = (until, wake)
        self._waiting.append(entry)
        try:
            await wake.wait()
        finally:
            self._waiting.remove(entry)
