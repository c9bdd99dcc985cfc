"""Where programs run: in the harness, or by an executor on a file that dies and is started again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from stepserve import Checkpointing, Event, Inngest
from stepserve.testing import Harness, HarnessSync
from stepserve.testing.session import Session
from stepserve_core.executor.caller import Caller
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.decisions import Decision
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.fault_report import FaultReport
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables
from stepserve_core.faults import Faults
from tests.model.functions import World, executed, make_functions
from tests.model.programs import Program

T = TypeVar("T")

START = 1_700_000_000
_LEASED = 2
"""The state of items of the queue that are being called."""


class Place:
    """A server in this process with the functions of some programs, on an event loop of its own."""

    executor: Executor

    def __init__(self, programs: tuple[Program, ...]) -> None:
        logger = logging.getLogger("tests.model")
        logger.propagate = False
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.client = Inngest(app_id="model", is_production=False, logger=logger)
        self.functions = make_functions(self.client, self.world, programs)

    def do(self, awaited: Awaitable[T]) -> T:
        """Wait for something."""
        return self.loop.run_until_complete(awaited)

    def send(self, name: str, data: dict[str, object]) -> None:
        """Send an event, and let run what it starts."""
        self.do(self.client.send(Event(name=name, data=data)))
        self.settle()

    def settle(self) -> None:
        """Run what can run now."""
        raise NotImplementedError

    def advance(self, moment: float) -> None:
        """Let time go on to a moment, and run what becomes due."""
        raise NotImplementedError

    def look(self, unit: Callable[[Tables], T]) -> T:
        """Look something up in the store."""
        return self.do(self.executor.read(unit))

    def next_due(self) -> float | None:
        """Return the moment of the next timer."""
        return self.look(lambda tables: tables.queue.next_due())

    def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        self.do(self.executor.cancel(run_id))
        self.settle()

    def pause(self, number: int) -> None:
        """Pause a function."""
        self.do(self.executor.pause(f"model-f{number}"))

    def resume(self, number: int) -> None:
        """Let a function go on."""
        self.do(self.executor.resume(f"model-f{number}"))
        self.settle()

    def close(self) -> None:
        """Stop everything."""
        self.do(self.loop.shutdown_asyncgens())
        self.do(self.loop.shutdown_default_executor())
        self.loop.close()


class InHarness(Place):
    """The harness, in memory; `in_place` is that of sync tests."""

    def __init__(
        self,
        programs: tuple[Program, ...],
        *,
        in_place: bool = False,
        checkpointing: Checkpointing | bool = False,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(programs)
        start = datetime.datetime.fromtimestamp(START, datetime.timezone.utc)
        make = HarnessSync if in_place else Harness
        harness = make(self.client, self.functions, start=start, checkpointing=checkpointing, faults=faults)
        self._session: Session = harness._session
        self.executor = self._session.executor
        self.do(self._session.open())

    def settle(self) -> None:
        self.do(self._session.run_until_idle())

    def advance(self, moment: float) -> None:
        self._session.plan_advance(None, datetime.datetime.fromtimestamp(moment, datetime.timezone.utc))
        self.settle()

    def skip_time(self) -> None:
        """Run until nothing waits for time."""
        self.do(self._session.run_until_idle(skip_time=True))

    @property
    def report(self) -> FaultReport:
        """What came out while faults happened."""
        return self._session.injector.report

    def close(self) -> None:
        self.do(self._session.close())
        super().close()


class OnFile(Place):
    """An executor on a file, that dies in the middle of a call when it is told to; then another one goes on.

    Death is a copy of the database at that moment: what is committed by then is all that the next one has. What the
    calls under way did to the world is undone with it, so that steps fail as often as the model says.
    """

    def __init__(self, programs: tuple[Program, ...], folder: Path, *, checkpointing: bool = False) -> None:
        super().__init__(programs)
        self._folder = folder
        self._checkpointing = Checkpointing() if checkpointing else None
        self._clock = VirtualClock(float(START))
        self._deaths = 0
        self._calls_left: int | None = None
        self._death = asyncio.Event()
        self._under_way: dict[tuple[str, int], list[tuple[str, str]]] = {}
        self._open()

    @property
    def _path(self) -> Path:
        return self._folder / f"runs-{self._deaths}.db"

    def _open(self) -> None:
        self.executor = Executor.embedded(
            self.client,
            self.functions,
            store=Store(str(self._path), synchronous="OFF"),
            clock=self._clock,
            settings=LoopSettings(jitter=False),
            around=lambda caller: functools.partial(self._decide, caller),
        )
        self.executor.local.checkpointing = self._checkpointing
        self.do(self.executor.prepare())

    async def _decide(self, caller: Caller, item: Claim) -> list[Decision]:
        log: list[tuple[str, str]] = []
        self._under_way[item.work.id, item.work.generation] = log
        executed.set(log)
        decisions = await caller.decide(item)
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                self._calls_left = None
                self._copy()
                self._death.set()
                await asyncio.Event().wait()  # until it is cancelled with everything else
        return decisions

    def _copy(self) -> None:
        target = self._folder / f"runs-{self._deaths + 1}.db"
        with (
            contextlib.closing(sqlite3.connect(self._path)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            rows = copy.execute("SELECT id, generation FROM queue WHERE state = ?", (_LEASED,)).fetchall()
        for item in rows:
            for key, label in self._under_way.get(item, ()):
                self.world.executions[key, label] -= 1

    def die_in(self, calls: int) -> None:
        """Die in the call after so many more."""
        self._calls_left = calls

    def settle(self) -> None:
        self.do(self._settle())
        while self._death.is_set():
            self._death.clear()
            self.do(self.executor.stop(0))
            self._deaths += 1
            self._under_way.clear()
            self._open()
            self.do(self._settle())

    async def _settle(self) -> None:
        loop = self.executor.loop
        loop.reset()
        running = asyncio.ensure_future(loop.run())
        waits = [asyncio.ensure_future(loop.idle()), asyncio.ensure_future(self._death.wait())]
        try:
            done, _ = await asyncio.wait([running, *waits], timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert done, f"nothing happens any more: {loop.under_way}"
        finally:
            for wait in waits:
                wait.cancel()
            await loop.stop(0)
            await running

    def restart(self) -> None:
        """Stop and start the executor, in order."""
        self.do(self.executor.stop(0))
        self._open()
        self.settle()

    def advance(self, moment: float) -> None:
        while (due := self.next_due()) is not None and due <= moment:
            self._clock.advance_to(due)
            self.settle()
        self._clock.advance_to(moment)
        self.settle()

    def close(self) -> None:
        self.do(self.executor.stop(0))
        super().close()
