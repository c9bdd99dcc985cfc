"""The harness: durable functions under test, with production semantics and virtual time, in both colours.

`Harness` and `HarnessSync` only differ in how whoever calls them waits; what they do is in `session.py`.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar, overload

from stepserve.testing.clocks import HarnessClock, HarnessClockSync
from stepserve.testing.errors import HarnessError
from stepserve.testing.runs import Run
from stepserve.testing.session import CLOSED, Session
from stepserve_core import Checkpointing, Event, Function, Inngest
from stepserve_core.executor.fault_report import FaultReport
from stepserve_core.faults import Faults
from stepserve_core.testing import is_on_loop

T = TypeVar("T")

TIMEOUT = 10.0
MAX_CALLS = 10_000


class _Harness:
    """What both colours share.

    Args:
        client: the client of the app. While the harness is open, whatever it sends goes to the harness.
        functions: the functions under test, and those that they start.
        start: where the virtual clock begins; the present if not given. Without a time zone, UTC is meant.
        timeout: seconds of real time without any progress after which a function counts as blocked.
        max_calls: calls of functions after which one `run_until_idle` or `advance` gives up.
        checkpointing: let functions go on after each step, as `Inngest(checkpointing=…)` does, or as these settings
            say. By default they are called anew for each step, so that what does not replay is found.
        network: let `step.fetch` and `step.ai.infer` without a stub really send requests.
        faults: what goes wrong on the way, see `Faults`; `fault_report` says what came out.
        step_stubs: what comes of steps, by their ids, as `stub` would take it, and `mocked.trigger` does.
    """

    _in_place = False

    def __init__(
        self,
        client: Inngest,
        functions: Iterable[Function[Any]],
        *,
        start: datetime.datetime | None = None,
        timeout: float = TIMEOUT,
        max_calls: int = MAX_CALLS,
        checkpointing: Checkpointing | bool = False,
        network: bool = False,
        faults: Faults | None = None,
        step_stubs: Mapping[str, object] | None = None,
    ) -> None:
        self._session = Session(
            client,
            functions,
            start=start,
            timeout=timeout,
            max_calls=max_calls,
            network=network,
            in_place=self._in_place,
            checkpointing=checkpointing,
            faults=faults,
        )
        for step_id, outcome in (step_stubs or {}).items():
            self.stub(step_id, outcome)

    def stub(self, step_id: str, *outcomes: object, function: Function[Any] | str | None = None) -> None:
        """Say what comes of the steps with this id, from now on.

        Args:
            step_id: the id, as functions write it; also of `invoke`, `wait_for_event`, `wait_for_signal`, `fetch` and
                `ai.infer`.
            outcomes: a value, an exception, or a callable that gets what the step's handler would get: for `invoke` the
                data, for `ai.infer` the body, for `fetch` the request, for waits nothing. Several are for one attempt
                after the other; the last one stays. A wait that ends without an event comes to None.
            function: only for steps of this function, or of the one with this id.
        """
        self._session.stubs.add(step_id, outcomes, self._session.slug(function))

    def unstub(self, step_id: str, *, function: Function[Any] | str | None = None) -> None:
        """Let the steps with this id do again what they do."""
        self._session.stubs.remove(step_id, self._session.slug(function))

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order in which they were queued."""
        return self._session.runs

    @property
    def sent_events(self) -> list[Event[Any]]:
        """The events that functions, or code around them, sent with the client; not those of `send`."""
        return self._session.sent_events

    @property
    def fault_report(self) -> FaultReport:
        """What came out while faults happened: `print(h.fault_report.text())`. Without faults it is empty."""
        return self._session.injector.report

    @property
    def logs(self) -> list[logging.LogRecord]:
        """What was logged with the client's logger, `ctx.logger` among it; of loggers of `logging` only."""
        return self._session.logs.records


class Harness(_Harness):
    """Runs functions in tests: `async with Harness(client, [order]) as h`, in a running event loop.

    Functions of both colours run, the `def` ones in threads. Nothing runs between two calls of the harness.
    """

    @property
    def clock(self) -> HarnessClock:
        """The virtual clock."""
        return HarnessClock(self._session)

    async def __aenter__(self) -> Harness:
        await self.open()
        return self

    async def open(self) -> None:
        """Do what entering does."""
        await self._session.open()

    async def close(self) -> None:
        """Do what leaving does."""
        await self._session.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def send(self, events: Event[Any]) -> Run: ...

    @overload
    async def send(self, events: Sequence[Event[Any]]) -> list[Run]: ...

    async def send(self, events: Event[Any] | Sequence[Event[Any]]) -> Run | list[Run]:
        """Send one event, or several; return its run, or theirs. `run_until_idle` lets them run."""
        if isinstance(events, Event):
            return (await self._session.send([events]))[0]
        return await self._session.send(events)

    async def invoke(self, function: Function[Any], data: object = None) -> Run:
        """Start one function, whatever its triggers, and return its run. `run_until_idle` lets it run."""
        return await self._session.invoke(function, data)

    async def run_until_idle(self, *, skip_time: bool = False) -> None:
        """Run what can run now: afterwards, whatever is left waits for time or events.

        With `skip_time` the clock goes on to whatever is due next, until no run, batch or debounce waits for time;
        schedules fire on the way, but are not waited for.

        Raises:
            NeverIdleError: there was no end to it.
            BlockedError: a function waits for something that is no step.
            UnstubbedStepError: a step would have sent a request to the outside.
        """
        await self._session.run_until_idle(skip_time=skip_time)


class HarnessSync(_Harness):
    """Runs functions in tests: `with HarnessSync(client, [order]) as h`, without an event loop.

    Functions of both colours run, the `def` ones in the thread of the test, so that they see its database
    transactions and its thread-local values. Otherwise it is as `Harness` is.
    """

    _in_place = True

    _runner: asyncio.AbstractEventLoop | None = None

    @property
    def clock(self) -> HarnessClockSync:
        """The virtual clock."""
        return HarnessClockSync(self._session, self.run_until_idle)

    def __enter__(self) -> HarnessSync:
        try:
            self._run(self._session.open())
        except BaseException:
            self._close_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._run(self._session.close())
        finally:
            self._close_loop()

    def _close_loop(self) -> None:
        if self._runner is not None:
            self._run(self._runner.shutdown_asyncgens())
            self._runner.close()
            self._runner = None

    @overload
    def send(self, events: Event[Any]) -> Run: ...

    @overload
    def send(self, events: Sequence[Event[Any]]) -> list[Run]: ...

    def send(self, events: Event[Any] | Sequence[Event[Any]]) -> Run | list[Run]:
        """Send one event, or several; return its run, or theirs. `run_until_idle` lets them run."""
        if isinstance(events, Event):
            return self._run(self._session.send([events]))[0]
        return self._run(self._session.send(events))

    def invoke(self, function: Function[Any], data: object = None) -> Run:
        """Start one function, whatever its triggers, and return its run. `run_until_idle` lets it run."""
        return self._run(self._session.invoke(function, data))

    def run_until_idle(self, *, skip_time: bool = False) -> None:
        """Run what can run now; see `Harness.run_until_idle`."""
        self._run(self._session.run_until_idle(skip_time=skip_time))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the harness's own loop, in this thread unless another loop runs in it."""
        if self._runner is None:
            if self._session.is_closed:
                coroutine.close()
                raise HarnessError(CLOSED)
            self._runner = asyncio.new_event_loop()
        # Asked before, because what functions raise in an `except` block would seem to have come of what was caught.
        if not is_on_loop():
            return self._runner.run_until_complete(coroutine)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._runner.run_until_complete, coroutine).result()
