"""Timers of checkpoints in `def` functions: they are threads, which a cancellation may find on their way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from stepserve_core import Checkpointing
from stepserve_core._answer import Outcome
from stepserve_core._checkpoints import Checkpoints, Prepared
from stepserve_core._found import Ask, Found, Report
from stepserve_core._opcodes import Op, Opcode
from stepserve_core._runtime import Runtime, SyncRuntime, run_sync
from tests.core.calls import hashed


class LateTimers(SyncRuntime):
    """Its timers cannot be cancelled any more, and fire when they are told to."""

    def __init__(self) -> None:
        self.fire: list[Callable[[], object]] = []

    def later(self, seconds: float, call: Callable[[], object]) -> threading.Timer:
        """Keep what is to be called."""
        self.fire.append(call)
        return threading.Timer(seconds, call)

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> Future[None]:
        """Do it to its end at once."""
        done: Future[None] = Future()
        done.set_result(run_sync(work(self)))
        return done


class API:
    """Saves everything."""

    def __init__(self) -> None:
        self.saved: list[Op] = []

    async def save(self, runtime: object, call: object, steps: Sequence[Op]) -> None:
        """Save steps."""
        del runtime, call
        self.saved += steps


async def prepare(report: Report) -> Prepared:
    """Make JSON of an output."""
    del report
    return Prepared(b"1", 1)


def make(api: Any) -> tuple[LateTimers, Checkpoints, Report]:
    """Return checkpoints that have a timer, and a step for them."""
    runtime = LateTimers()
    checkpoints = Checkpoints(api, None, Checkpointing(batch_steps=10, batch_interval="1s"), runtime, attempt=0)
    checkpoints.prepare = prepare
    found = Found("a", hashed("a"), None, Ask(Opcode.STEP_RUN, handler=int))
    return runtime, checkpoints, Report(found, Opcode.STEP_RUN, output=1)


def test_a_timer_saves_what_waits() -> None:
    api = API()
    runtime, checkpoints, report = make(api)
    run_sync(checkpoints.keep(report, 0))
    (fire,) = runtime.fire
    fire()
    run_sync(checkpoints.end(Outcome(output=1)))

    assert ([report.op], []) == (api.saved, checkpoints.unsaved)


def test_a_timer_that_fires_while_its_call_ends_sends_nothing_that_the_answer_holds() -> None:
    api = API()
    runtime, checkpoints, report = make(api)
    run_sync(checkpoints.keep(report, 0))
    run_sync(checkpoints.end(Outcome(output=1)))
    (fire,) = runtime.fire
    fire()

    assert ([], [report.op]) == (api.saved, checkpoints.unsaved)
