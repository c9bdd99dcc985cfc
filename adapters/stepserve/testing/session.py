"""The one implementation of the harness, for both colours: the embedded executor, in memory, on a virtual clock."""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from stepserve.testing.drive import Drive
from stepserve.testing.errors import HarnessError
from stepserve.testing.logs import LogCapture
from stepserve.testing.runs import Run
from stepserve.testing.stubs import Stubs
from stepserve_core import Checkpointing, Event, Function, Inngest
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.caller import Caller, Decide
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.decisions import Decision
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.fault_injection import FaultInjector
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.writer import Unit
from stepserve_core.faults import Faults
from stepserve_core.testing import Duration, decode_event, encode_output, to_milliseconds

T = TypeVar("T")

CLOSED = "the harness is closed: send events, and look at runs, inside its `with` block"


class Session:
    """What a harness does. For the arguments see `Harness`; `in_place` calls sync functions in the caller's thread."""

    def __init__(
        self,
        client: Inngest,
        functions: Iterable[Function[Any]],
        *,
        start: datetime.datetime | None,
        timeout: float,
        max_calls: int,
        network: bool,
        in_place: bool,
        checkpointing: Checkpointing | bool,
        faults: Faults | None,
    ) -> None:
        self.client = client
        self.functions = [functions] if isinstance(functions, Function) else list(functions)
        if not self.functions:
            raise ConfigurationError("a harness needs functions: Harness(client, [order, refund])")
        for function in self.functions:
            if not isinstance(function, Function):
                raise ConfigurationError(
                    f"a harness takes functions made by @client.create_function(…), not {type(function).__name__}"
                )
        self.clock = VirtualClock(float(int(time.time())) if start is None else _seconds(start))
        self.target: float | None = None
        """The moment to which the clock is to be moved, where that has not been done."""
        self.stubs = Stubs(network=network)
        self.logs = LogCapture(client.logger)
        self._sent: set[str] = set()
        self.injector = FaultInjector(faults or Faults())
        if faults is not None and faults.always_replay:
            checkpointing = False
        self.has_faults = faults is not None
        self.executor = Executor.embedded(
            client, self.functions, clock=self.clock, settings=LoopSettings(jitter=False), around=self._around
        )
        self.executor.local.substitutes = self.stubs
        self.executor.local.runs_in_place = in_place
        self.executor.local.checkpointing = Checkpointing() if checkpointing is True else checkpointing or None
        self._drive = Drive(self, timeout, max_calls)
        self._is_open = False
        self.is_closed = False

    def _around(self, caller: Caller) -> Decide:
        if self.has_faults:
            self.injector.attach(caller)
        return lambda item: self._drive.decide(caller, item)

    async def decide(self, caller: Caller, item: Claim) -> list[Decision]:
        """Carry out an item: with the faults around the stubs around the call."""
        ask = functools.partial(self.stubs.decide, caller)
        return await (self.injector.decide(caller, ask, item) if self.has_faults else ask(item))

    async def open(self) -> None:
        """Register the functions. Doing so twice changes nothing."""
        self._check_open()
        if not self._is_open:
            self._is_open = True
            self.logs.attach()
            try:
                await self.executor.prepare()
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Forget everything."""
        if self._is_open:
            self._is_open, self.is_closed = False, True
            self.logs.detach()
            await self.executor.stop()

    async def send(self, events: Sequence[Event[Any]]) -> list[Run]:
        """Send events as the client does."""
        await self.open()
        ids = await self.client.send(events)
        self._sent.update(ids)
        return [self._run_of(event_id, f"event {event.name!r}") for event, event_id in zip(events, ids, strict=True)]

    async def invoke(self, function: Function[Any], data: object) -> Run:
        """Start one function, whatever its triggers."""
        await self.open()
        if function.event_types:
            data = function.event_types.dump(data)
        where = f"the data of h.invoke({function.local_id!r}, …)"
        encoded = b"{}" if data is None else encode_output(data, where)
        if not encoded.startswith(b"{"):
            raise HarnessError(f"{where} must be an object, such as a dict, not {type(data).__name__}")
        body = b'{"data":%s}' % encoded
        event_id = await self.executor.invoke(function.id, body)
        return self._run_of(event_id, f"h.invoke({function.local_id!r})")

    async def run_until_idle(self, *, skip_time: bool = False) -> None:
        """See `Harness.run_until_idle`."""
        await self.open()
        self._drive.begin()
        await self._drive.settle()
        while self.target is not None:
            due = self.look(lambda tables: tables.queue.next_due())
            if due is None or due > self.target:
                self.clock.advance_to(self.target)
                self.target = None
            else:
                self.clock.advance_to(due)
                await self._drive.settle()
        while skip_time and self.look(lambda tables: tables.queue.next_due_but_ticks()) is not None:
            self.clock.advance_to(self.look(lambda tables: tables.queue.next_due()) or 0.0)
            await self._drive.settle()

    def plan_advance(self, duration: Duration | None, moment: datetime.datetime | None = None) -> None:
        """Note how far the clock is to be moved."""
        begun = self.now() if self.target is None else self.target
        target = _seconds(moment) if moment is not None else begun + to_milliseconds(duration or 0) / 1000
        if target < begun:
            raise ValueError("the clock of a harness only goes forward")
        self.target = target

    def now(self) -> float:
        """Return the moment by the virtual clock."""
        return self.clock.now()

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order in which they were queued."""
        return [self._run(row.id) for row in self.look(lambda tables: tables.runs.all())]

    @property
    def sent_events(self) -> list[Event[Any]]:
        """The events that functions, or code around them, sent with the client; not those of `send`."""
        events = self.look(lambda tables: tables.events.of_users())
        return [decode_event(event.body, Event) for event in events if event.internal_id not in self._sent]

    def look(self, unit: Unit[T]) -> T:
        """Look something up in the store."""
        self._check_open()
        return self.executor.store.look(unit)

    def _check_open(self) -> None:
        if self.is_closed:
            raise HarnessError(CLOSED)

    def local_id(self, function_id: str) -> str:
        """Return the id of a function as users wrote it."""
        function = self.executor.registry.get(function_id)
        slug = function_id if function is None else function.slug
        return slug.removeprefix(f"{self.client.app_id}-")

    def why_no_run(self) -> str:
        """Say what might be the reason that an event has started no run."""
        names = sorted({name for function in self.functions for name in function.event_names})
        return f" (yet); events that start functions here: {', '.join(names) or 'none'}"

    def slug(self, function: Function[Any] | str | None) -> str | None:
        """Return the id by which the server knows a function."""
        if function is None or not isinstance(function, str):
            return None if function is None else function.id
        return f"{self.client.app_id}-{function}"

    def _run_of(self, event_id: str, description: str) -> Run:
        return Run(self, description, lambda: self.look(lambda tables: tables.runs.of_event(event_id)))

    def _run(self, run_id: str) -> Run:
        def find() -> list[RunRow]:
            row = self.look(lambda tables: tables.runs.get(run_id))
            return [] if row is None else [row]

        return Run(self, f"run {run_id}", find)


def _seconds(moment: datetime.datetime) -> float:
    """Return Unix seconds; without a time zone, UTC is meant."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
