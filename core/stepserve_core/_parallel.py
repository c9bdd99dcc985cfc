"""Parallel steps of `async def` functions: asyncio.gather, TaskGroup, as_completed and plain tasks.

A step without memo parks on a future. When nothing new has been reached for a few turns of the loop, the
discovery acts: a targeted step is executed; a single one too; several are planned. Then it cancels the function.

While only the function's own task uses steps, memos are returned without suspending. Once another task does,
they are released one by one in the order in which the steps finished, so that code which looks at who comes
first (as_completed, wait, races) sees at every replay what it saw the first time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from stepserve_core import _eager
from stepserve_core._colour import NO_BRANCH_REACHED_TARGET, Verdict
from stepserve_core._engine import Run
from stepserve_core._found import Found, Report
from stepserve_core._interrupts import Interrupt
from stepserve_core._open_group import OpenGroup
from stepserve_core.errors import StepUnexpectedError

LONE_TURNS = 3
"""Turns of the loop without news after which we act while only the function's own task has reached steps: tasks
that it made begin in the first, and tasks that these made in the second."""

QUIET_TURNS = 6
"""Turns of the loop without news after which we act. A wake-up passes through a task, its waiter (gather, a
task group) and the task that awaits that: three turns, and twice that for a group inside a group."""

TARGET_PATIENCE = 10.0
"""Seconds to wait for a targeted step that other branches, busy with I/O of their own, may still reach."""

LONE_PATIENCE = 1.0
"""The same while no task but the function's own has reached a step: most likely there is none that could."""

CLEANUP_PATIENCE = 10.0
"""Seconds that `finally` blocks of an interrupted function may take before the answer leaves without them."""

_logger = logging.getLogger("stepserve")


class FunctionCancelledError(Exception):
    """The function let a cancellation that it caused itself escape."""


class _Parked:
    __slots__ = ("found", "future", "is_group")

    def __init__(self, found: list[Found], future: asyncio.Future[Verdict], *, is_group: bool) -> None:
        self.found = found
        self.future = future
        self.is_group = is_group


class Discovery:
    """What one call of an async function has reached so far, and the decision about it."""

    current_task = staticmethod(asyncio.current_task)

    def __init__(self, run: Run) -> None:
        self._run: Run = weakref.proxy(run)  # the run knows the runtime, and that knows this
        self.loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self.loop.create_future()
        self.main: asyncio.Task[Any] | None = None
        """The function's own task."""
        # Not in the future, which would keep them: the traceback of an error holds the function's frames, and this.
        self._output: Any = None
        self._reports: list[Report] | None = None
        self._error: BaseException | None = None
        self._is_leaving = False
        self._has_ended = False
        self.is_alone = True
        """Whether the function has neither waited nor made a task so far."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._parked: list[_Parked] = []
        self._aside: dict[asyncio.Future[NoReturn], str] = {}
        """What steps wait for that are not the target, and their ids."""
        self._groups: list[OpenGroup] = []
        """Parallel groups with branches that were not begun; the innermost is the last."""
        self._recalled: list[tuple[int, int, asyncio.Future[None]]] = []
        self._asked = itertools.count()
        self.order: dict[str, int] | None = None
        """The position of each memo in the order of release; None as long as only the main task uses steps."""
        self._quiet_turns = 0
        self._ticking = False
        self._acting = False
        self._patience: asyncio.TimerHandle | None = None

    async def execute(self, body: Callable[..., Any], context: object) -> Any:
        """Run the function until it ends, or until there is something to report.

        Raises:
            Interrupt: there is something to report.
        """
        _eager.start(self.loop, self._run_function(body, context), self._note_company)
        self._note_company()
        try:
            if not self._end.done():
                await self._end
        finally:
            await self._clean_up()
            # Free the function's frames, and the event in them, now; not when the garbage collector comes by. The
            # context of each task leads to the run, and so back to here.
            self.main = None
            self._tasks.clear()
            self._parked.clear()
            self._aside.clear()
            self._groups.clear()
            self._recalled.clear()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        if self._reports is not None:
            raise self._interrupt()
        return self._output

    def _interrupt(self) -> Interrupt:
        """Return what ends the function; no local of a frame that steps lead back to may keep the reports."""
        reports, self._reports = self._reports or [], None
        return Interrupt(reports)

    async def _run_function(self, body: Callable[..., Any], context: object) -> None:
        self.main = asyncio.current_task(self.loop)
        try:
            self._output = await body(context)
        except asyncio.CancelledError:
            self._function_ended(FunctionCancelledError("the function was cancelled from within"))
        except BaseException as error:
            self._function_ended(error)
        else:
            self._function_ended(None)

    def _function_ended(self, error: BaseException | None) -> None:
        self._has_ended = True
        if self._end.done():
            return
        if error is not None:
            self._end_with(error)
            return
        waiting = [step.step_id for entry in self._parked for step in entry.found if not entry.future.done()]
        waiting += [step_id for future, step_id in self._aside.items() if not future.done()]
        if waiting:
            _logger.warning("a function returned while its steps %s were not awaited; they are lost", waiting)
        self._end.set_result(None)

    def _end_with(self, outcome: list[Report] | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self._error = outcome
        else:
            self._reports = outcome
        self._end.set_result(None)

    def _note_company(self) -> None:
        self.is_alone = False

    def turn_of(self, hashed: str) -> asyncio.Future[None] | None:
        """Return what a memo waits for; None where no other task can see who comes first.

        Once tasks other than the function's own use steps, all memos are released in order.
        """
        task = asyncio.current_task(self.loop)
        if task is self.main and self.order is None:
            return None
        self._check_open(hashed)
        self._note(task)
        if self.order is None:
            self.order = {finished: position for position, finished in enumerate(self._run.finished())}
        future: asyncio.Future[None] = self.loop.create_future()
        # Memos that the stack does not list come last, in the order in which they were asked for.
        position = self.order.get(hashed, len(self.order))
        heapq.heappush(self._recalled, (position, next(self._asked), future))
        self._stir()
        return future

    def step_aside(self, step_id: str) -> asyncio.Future[NoReturn]:
        """Return what a step waits for, in a call for another one, until the function is left."""
        self._check_open(step_id)
        self._note(asyncio.current_task(self.loop))
        future: asyncio.Future[NoReturn] = self.loop.create_future()
        self._aside[future] = step_id
        self._stir()
        return future

    async def choose(self, found: Found) -> Verdict:
        """Park until it is decided what becomes of `found`."""
        self._check_open(found.step_id)
        target = self._run.target
        if not self._acting and (target == found.hashed or (target is None and self.is_alone)):
            self._acting = True
            return self._run.alone(found)
        return await self._park([found], is_group=False)

    def open_group(self, go_on: Callable[[], Coroutine[Any, Any, None]]) -> OpenGroup:
        """Return a group whose branches are being run; `go_on` runs those that were not begun."""
        return OpenGroup(self._groups, go_on)

    async def park_group(self, found: list[Found]) -> NoReturn:
        """Park with the steps of a parallel group; they are only ever planned."""
        await self._park(found, is_group=True)
        raise AssertionError("a parallel group was told to execute")

    async def finish(self, reports: list[Report]) -> NoReturn:
        """Hand over what the function has to report, and leave it."""
        if not self._end.done():
            self._end_with(reports)
        await self._leave()

    async def fail(self, error: Exception) -> NoReturn:
        """Answer with an error, and leave the function."""
        if not self._end.done():
            self._end_with(error)
        await self._leave()

    async def _leave(self) -> NoReturn:
        if asyncio.current_task(self.loop) is self.main:
            self._is_leaving = True
            self._run.close(_too_late)
            raise asyncio.CancelledError("the function was interrupted to report its steps")
        self._note(asyncio.current_task(self.loop))
        await self.loop.create_future()  # until this task is cancelled with the function
        raise AssertionError("a future that nobody resolves was resolved")

    def _check_open(self, step: str) -> None:
        """Refuse a step of a task that began only after all was over."""
        if self._end.done():
            raise _too_late(step)

    async def _park(self, found: list[Found], *, is_group: bool) -> Verdict:
        self._note(asyncio.current_task(self.loop))
        future: asyncio.Future[Verdict] = self.loop.create_future()
        self._parked.append(_Parked(found, future, is_group=is_group))
        self._stir()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # chosen, but cancelled by the user before it could run
                self.step_failed()
            raise

    def _note(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None and task is not self.main:
            self._tasks.add(task)

    def step_failed(self) -> None:
        """Go on deciding: a step raised into the function, which may have caught it."""
        self._acting = False
        self._stir()

    def _stir(self) -> None:
        """Begin to count quiet turns anew."""
        self._quiet_turns = 0
        if not self._ticking:
            self._ticking = True
            self.loop.call_soon(self._tick)

    def _tick(self) -> None:
        if self._end.done() or self._acting:
            self._ticking = False
            return
        self._quiet_turns += 1
        if self._quiet_turns < (QUIET_TURNS if self._tasks else LONE_TURNS):
            self.loop.call_soon(self._tick)
        elif self._recalled:
            self._release_next()
            self._quiet_turns = 0
            self.loop.call_soon(self._tick)
        else:
            self._ticking = False
            self._act()

    def _release_next(self) -> None:
        future = heapq.heappop(self._recalled)[2]
        if not future.done():
            future.set_result(None)

    def _act(self) -> None:
        parked = [entry for entry in self._parked if not entry.future.done()]
        self._parked = parked
        if not parked and all(future.done() for future in self._aside):
            return  # the function waits for something of its own; answering nothing would make the server call at once
        if self._groups:
            self._note(self._groups[-1].begin(self.loop))
            self._stir()
        elif self._run.target is not None:
            self._wait_for_target()
        elif len(parked) == 1 and not parked[0].is_group:
            self._acting = True
            parked[0].future.set_result(self._run.alone(parked[0].found[0]))
        else:
            self._acting = True
            self.loop.create_task(self._plan([step for entry in parked for step in entry.found]))

    async def _plan(self, found: list[Found]) -> None:
        await self._run.start_new_code()
        if not self._end.done():
            self._end_with([self._run.plan(step) for step in found])

    def _wait_for_target(self) -> None:
        if self._patience is None:
            seconds = TARGET_PATIENCE if self._tasks else min(LONE_PATIENCE, TARGET_PATIENCE)
            self._patience = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._end.done() or self._acting:
            return
        names = ", ".join(f'"{step_id}"' for step_id in itertools.islice(self._aside.values(), 5))
        found = f"found step {names} when targeting a different step" if names else NO_BRANCH_REACHED_TARGET
        self._end_with(StepUnexpectedError(found))

    async def _clean_up(self) -> None:
        """Cancel what is parked, let `finally` blocks run, and refuse the steps that they would start."""
        if self._patience is not None:
            self._patience.cancel()
        if self.main is None or (self._has_ended and not self._tasks):
            return
        self._run.close(_too_late)
        tasks = [task for task in self._tasks if not task.done()]
        if not self._has_ended:
            tasks.insert(0, self.main)
        for task in tasks:
            if task is not self.main or not self._is_leaving:
                task.cancel()
        await self._settle(tasks)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # seen, so that asyncio does not complain about an error nobody fetched

    async def _settle(self, tasks: list[asyncio.Task[Any]]) -> None:
        for _ in range(LONE_TURNS):  # nearly all end at once; only others are worth a timer
            await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                return
        _, late = await asyncio.wait(tasks, timeout=CLEANUP_PATIENCE)
        if late:
            _logger.warning("an interrupted function is still busy cleaning up after %s seconds", CLEANUP_PATIENCE)


def _too_late(step: str) -> BaseException:
    return asyncio.CancelledError(f"step {step!r} came after the function was interrupted")
