"""One run on the embedded executor, without what holds runs back: triggers, flow control, time."""

from __future__ import annotations

import atexit
import contextlib
import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from stepserve.experimental.mocked.called import URL, CalledFunction
from stepserve.experimental.mocked.errors import UnstubbedStepError
from stepserve.experimental.mocked.result import Result, Status
from stepserve.testing.stubs import Stubs
from stepserve_core import Event, Function, Inngest
from stepserve_core.errors import Error
from stepserve_core.executor import events, ids
from stepserve_core.executor.apply import apply
from stepserve_core.executor.caller import Caller
from stepserve_core.executor.claims import Claim, claim
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.decisions import (
    Decision,
    EndRun,
    GatewayStep,
    InvokeStep,
    WaitSignalStep,
    WaitStep,
)
from stepserve_core.executor.function_config import FunctionConfig, Retries, Runtime, StepConfig
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function as Registered
from stepserve_core.executor.store.database import open_database
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun
from stepserve_core.executor.store.tables import Tables

_idle: list[tuple[sqlite3.Connection, Tables]] = []
"""Databases that no run uses now. One takes longer to make than a run takes, and nothing is ever committed to it."""


class Trial:
    """A run of one function, which is registered with nothing but its retries."""

    def __init__(
        self, fn: Function[Any], given: Sequence[Event], client: Inngest, step_stubs: Mapping[str, object]
    ) -> None:
        self._clock = VirtualClock(time.time())
        now = self._clock.now()
        self._stubs = Stubs(network=False)
        self._called = CalledFunction(fn, given, client, self._stubs, int(now * 1000))
        for step_id, stub in step_stubs.items():
            self._stubs.add(step_id, (stub,), None)
            if isinstance(stub, Exception):
                self._called.note(stub)
        self._caller = Caller(self._called, self._clock, LoopSettings(jitter=False))
        config = FunctionConfig(fn.id, fn.id, {"step": StepConfig(Runtime(URL), retries=Retries(fn.retries))})
        self._function = Registered(fn.id, "", fn.id, config, 1, archived=False)
        self._registry = Registry([self._function])

    async def run(self) -> Result:
        """Call the function until it ends.

        Raises:
            UnstubbedStepError: a step that only a server can do has no stub.
        """
        with _database() as tables:
            self._queue(tables)
            while True:
                item = self._next(tables)
                decisions = await self._stubs.decide(self._caller, item)
                for decision in decisions:
                    self._check(decision)
                    if isinstance(decision, EndRun):
                        return self._result(decision)
                apply(self._scope(tables), item.work, decisions, self._clock.now())

    def _queue(self, tables: Tables) -> None:
        now, function_id = self._clock.now(), self._function.id
        run_id = ids.new_id(now)
        body = bytes(self._called.events[0])
        seq = tables.events.add(events.Event(run_id, run_id, "test", int(now * 1000), body, now))
        tables.runs.add(NewRun(run_id, function_id, 1, seq, now, now))
        tables.queue.add(QueueItem(ids.job_id(run_id, "start"), "start", run_id, function_id, now, now), now)

    def _next(self, tables: Tables) -> Claim:
        """Claim what is due, and let the time of a retry come."""
        while True:
            claims = claim(self._scope(tables), 1, self._clock.now() + LEASE)
            if claims.items:
                return claims.items[0]
            due = tables.queue.next_due()
            assert due is not None, "the run has not ended, and nothing is left of it"
            self._clock.advance_to(due)

    def _check(self, decision: Decision) -> None:
        if self._stubs.problem is not None:
            raise self._stubs.problem
        if isinstance(decision, (InvokeStep, WaitStep, WaitSignalStep)) or (
            isinstance(decision, GatewayStep) and not self._stubs.has(self._function.id, decision.step.name)
        ):
            raise UnstubbedStepError(decision.step.name)

    def _result(self, end: EndRun) -> Result:
        if end.failure is None:
            return Result(None, self._called.output, Status.COMPLETED)
        return Result(self._called.error or Error(end.failure.message), None, Status.FAILED)

    def _scope(self, tables: Tables) -> Scope:
        return Scope(tables, self._registry, self._clock.now())


@contextlib.contextmanager
def _database() -> Generator[Tables, None, None]:
    """Lend a database in memory that is empty, also to those who run a function inside another."""
    try:
        connection, tables = _idle.pop()
    except IndexError:
        connection = open_database(None)
        atexit.register(connection.close)
        tables = Tables(connection)
    connection.execute("BEGIN")
    try:
        yield tables
    finally:
        connection.execute("ROLLBACK")
        tables.working.clear()
        tables.changes.take()
        _idle.append((connection, tables))
