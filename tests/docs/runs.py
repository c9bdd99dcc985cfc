"""Running functions that pages of documentation define: by the embedded executor, in memory, with virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from stepserve import Event, Function, Inngest
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.loop import LoopSettings

_HOUR = 3600.0
_LONGEST = 24 * 40


def outcome(client: Inngest, functions: Sequence[Function[Any]], *events: Event[Any]) -> tuple[str, Any]:
    """Send events one after the other, let time pass, and return status and output of the first one's first run."""
    return asyncio.run(_outcome(client, functions, events))


async def _outcome(
    client: Inngest, functions: Sequence[Function[Any]], events: Sequence[Event[Any]]
) -> tuple[str, Any]:
    clock = VirtualClock(time.time() + 60)
    settings = LoopSettings(retry_interval=0.0)
    async with Executor.embedded(client, functions, clock=clock, settings=settings) as executor:
        first = ""
        for event in events:
            (sent,) = await executor.send({"name": event.name, "data": dict(event.data)})
            first = first or sent
            await executor.loop.idle()
        for _ in range(_LONGEST):
            await executor.loop.idle()
            runs = await executor.read(lambda tables: tables.runs.of_event(first))
            if runs and runs[0].ended_at is not None:
                return runs[0].status, None if runs[0].output is None else msgspec.json.decode(runs[0].output)
            clock.advance(_HOUR)
            executor.loop.wake()
        raise AssertionError(f"the run of {events[0].name} did not end within {_LONGEST} hours")
