"""Programs as real functions of both colours."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from stepserve import (
    Context,
    ContextSync,
    Event,
    Function,
    Inngest,
    NonRetriableError,
    ParallelMode,
    RetryAfterError,
    StepError,
    TriggerEvent,
)
from tests.model.meaning import Asked, Meaning, Reading, StepFailedError
from tests.model.programs import OWN_EVENT, Break, Invoke, Kind, Program, Send, Sleep, Wait, Work

RETRY_AFTER = 45
"""Seconds that a `RetryAfterError` asks for."""


executed: ContextVar[list[tuple[str, str]] | None] = ContextVar("executed", default=None)
"""What the call under way has executed."""


class World:
    """What is outside of functions: how often each step was executed."""

    def __init__(self) -> None:
        self.executions: Counter[tuple[str, str]] = Counter()

    def do(self, key: str, label: str, work: Work) -> int:
        """Execute a step: fail as often as it is to fail, then return its value."""
        if self._count(key, label) > work.fails:
            return work.value
        match work.how:
            case "stop":
                raise NonRetriableError("no")
            case "later":
                raise RetryAfterError("not now", f"{RETRY_AFTER}s")
            case "error":
                raise ValueError("no")

    async def do_async(self, key: str, label: str, work: Work) -> int:
        """Do the same, after a turn of the event loop."""
        await asyncio.sleep(0)
        return self.do(key, label, work)

    def _count(self, key: str, label: str) -> int:
        log = executed.get()
        if log is not None:
            log.append((key, label))
        self.executions[key, label] += 1
        return self.executions[key, label]

    def reach(self, key: str, label: str, code: Break) -> None:
        """Fail as often as code between steps is to fail."""
        if self._count(key, label) <= code.fails:
            raise LookupError("not yet")


def make_functions(client: Inngest, world: World, programs: tuple[Program, ...]) -> list[Function[Any]]:
    """Return a function for each program."""
    functions: list[Function[Any]] = []
    for program in programs:
        decorate = client.create_function(
            fn_id=f"f{program.number}", trigger=TriggerEvent(event=f"start/{program.number}"), retries=program.retries
        )
        make = _make_async if program.is_async else _make_sync
        functions.append(decorate(make(world, program, functions)))
    return functions


def _make_sync(world: World, program: Program, functions: list[Function[Any]]) -> Callable[[ContextSync], Any]:
    def run(ctx: ContextSync) -> Any:
        return _SyncCall(world, ctx, functions).drive(Reading().body(program.body))

    return run


def _make_async(world: World, program: Program, functions: list[Function[Any]]) -> Any:
    async def run(ctx: Context) -> Any:
        return await _AsyncCall(world, ctx, functions).drive(Reading().body(program.body))

    return run


class _Call:
    def __init__(self, world: World, ctx: Any, functions: list[Function[Any]]) -> None:
        self.world = world
        self.ctx = ctx
        self.functions = functions
        self.key: str = ctx.event.data["key"]

    def ask(self, asked: Asked) -> Any:
        """Ask for a step; of async functions, it is still to be awaited."""
        step, one = self.ctx.step, asked.statement
        match one:
            case Work():
                do = self.world.do_async if len(asked.label) % 2 and hasattr(step, "_runtime") else self.world.do
                return step.run(asked.step_id, do, self.key, asked.label, one)
            case Sleep():
                return step.sleep(asked.step_id, f"{one.seconds}s")
            case Wait():
                condition = "async.data.key == event.data.key" if one.own else None
                return step.wait_for_event(asked.step_id, event=one.event, if_exp=condition, timeout=f"{one.seconds}s")
            case Send():
                return step.send_event(asked.step_id, Event(name=OWN_EVENT, data={"key": self.key, "n": 1}))
            case Invoke():
                limit = None if one.seconds is None else f"{one.seconds}s"
                return step.invoke(
                    asked.step_id,
                    function=self.functions[one.function],
                    data={"key": f"{self.key}/{asked.label}"},
                    timeout=limit,
                )
            case _:
                return self.world.reach(self.key, asked.label, one)

    def read(self, asked: Asked, result: Any) -> Any:
        """Return what the program gets."""
        if isinstance(asked.statement, Wait):
            return None if result is None else result.data["n"]
        return len(result) if isinstance(asked.statement, Send) else result


class _SyncCall(_Call):
    def drive(self, meaning: Meaning) -> Any:
        answer: Any = None
        error: BaseException | None = None
        try:
            while True:
                asked = meaning.send(answer) if error is None else meaning.throw(error)
                answer, error = None, None
                try:
                    answer = self.perform(asked)
                except StepError as failed:
                    error = _failed(failed)
                except BaseException as raised:
                    error = raised
        except StopIteration as end:
            return end.value
        except StepFailedError as failed:
            raise failed.__cause__ or failed from None

    def perform(self, asked: Asked) -> Any:
        if asked.kind is None:
            return self.read(asked, self.ask(asked))
        branches = tuple(lambda branch=branch: self.drive(branch) for branch in asked.branches)
        if asked.kind == "race":
            return self.ctx.group.race(*branches)
        mode = ParallelMode.RACE if asked.kind == "parallel race" else ParallelMode.WAIT
        return list(self.ctx.group.parallel(branches, mode))


class _AsyncCall(_Call):
    async def drive(self, meaning: Meaning) -> Any:
        answer: Any = None
        error: BaseException | None = None
        try:
            while True:
                asked = meaning.send(answer) if error is None else meaning.throw(error)
                answer, error = None, None
                try:
                    answer = await self.perform(asked)
                except StepError as failed:
                    error = _failed(failed)
                except BaseException as raised:
                    error = raised
        except StopIteration as end:
            return end.value
        except StepFailedError as failed:
            raise failed.__cause__ or failed from None

    async def perform(self, asked: Asked) -> Any:
        if asked.kind is None:
            result = self.ask(asked)
            return self.read(asked, None if result is None else await result)
        if asked.kind in ("race", "parallel", "parallel race"):
            branches = tuple(lambda branch=branch: self.drive(branch) for branch in asked.branches)
            if asked.kind == "race":
                return await self.ctx.group.race(*branches)
            mode = ParallelMode.RACE if asked.kind == "parallel race" else ParallelMode.WAIT
            return list(await self.ctx.group.parallel(branches, mode))
        return await _gather(asked.kind, [self.drive(branch) for branch in asked.branches])


async def _gather(kind: Kind, branches: list[Any]) -> list[Any]:
    """Run branches with one of Python's own tools."""
    match kind:
        case "gather":
            return list(await asyncio.gather(*branches))
        case "gather errors":
            results = await asyncio.gather(*branches, return_exceptions=True)
            return ["failed" if isinstance(result, StepError) else result for result in results]
        case "as completed":
            return [await each for each in asyncio.as_completed(branches)]
        case _:
            return await _in_task_group(branches)


async def _in_task_group(coroutines: list[Any]) -> list[Any]:
    assert sys.version_info >= (3, 11)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in coroutines]
    except BaseException as error:
        raise getattr(error, "exceptions", [error])[0] from None
    return [task.result() for task in tasks]


def _failed(error: StepError) -> StepFailedError:
    failed = StepFailedError()
    failed.__cause__ = error
    return failed
