"""The model: what generated programs do, computed without an executor, an SDK, memos or replays.

A run is a set of tasks, each of which is a generator that goes on where it was. What is taken over of a server's
rules is when a function is called (protocol.md 6.5): after each step, or after all of a group that were found together.
"""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import itertools
from collections.abc import Iterator
from typing import Any

from tests.model.functions import RETRY_AFTER
from tests.model.meaning import Asked, Meaning, Reading, StepFailedError
from tests.model.programs import OWN_EVENT, Break, Invoke, Program, Send, Sleep, Wait, Work

BACKOFF = (15, 30, 60, 120)
OPS = {Work: "StepRun", Send: "StepRun", Sleep: "Sleep", Wait: "WaitForEvent", Invoke: "InvokeFunction"}


@dataclasses.dataclass
class Step:
    """A step that was asked for."""

    hashed: str
    asked: Asked
    status: str = "Queued"
    attempts: int = 0
    output: Any = None
    error: str | None = None
    races: bool = False
    ends_at: float | None = None
    is_open: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it has a result."""
        return self.status in ("Completed", "Failed", "TimedOut")

    @property
    def is_known(self) -> bool:
        """Whether the server has heard of it: it was planned, opened, or tried."""
        return bool(self.is_open or self.attempts or self.is_finished)


@dataclasses.dataclass
class Task:
    """A branch, or the function itself."""

    meaning: Meaning
    parent: Group | None = None
    step: Step | None = None
    code: Asked | None = None
    group: Group | None = None
    is_done: bool = False
    value: Any = None
    error: StepFailedError | None = None

    @property
    def is_planned(self) -> bool:
        """Whether what it reaches is never executed at once: inside of `group.parallel` and `group.race`."""
        group = self.parent
        while group is not None:
            if group.asked.kind in ("parallel", "parallel race", "race"):
                return True
            group = group.owner.parent
        return False

    @property
    def is_racing(self) -> bool:
        """Whether the function is called after each of its steps."""
        return self.parent is not None and self.parent.asked.kind in ("parallel race", "race")


@dataclasses.dataclass
class Group:
    """Branches of a task."""

    asked: Asked
    owner: Task
    tasks: list[Task]
    ended: list[Task] = dataclasses.field(default_factory=list)
    is_over: bool = False


class CodeFailedError(Exception):
    """Code between steps failed."""


class Run:
    """A run of a program."""

    def __init__(self, model: Model, program: Program, key: str, invoker: tuple[Run, Step] | None) -> None:
        self.model = model
        self.program = program
        self.key = key
        self.invoker = invoker
        self.status = "Scheduled"
        self.output: Any = None
        self.error: str | None = None
        self.ended_at: float | None = None
        self.main = Task(Reading().body(program.body))
        self.steps: dict[str, Step] = {}
        self._waiting: dict[str, Task] = {}
        self._finished: list[str] = []
        self._pending: set[str] = set()
        self._plans = False
        self._uses: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._is_begun = False

    def call(self, attempt: int, target: Step | None = None) -> None:
        """Call the function, as the server would: for a planned step, or to find out what comes next."""
        if self.ended_at is not None:
            return
        if target is not None:
            if not target.is_finished:
                self._execute(target, attempt, planned=True)
            return
        try:
            self._go_on()
        except CodeFailedError:
            self._fail_attempt(attempt, None, BACKOFF[attempt], "LookupError")
            return
        if self.main.is_done:
            if self.main.error is None:
                self.end("Completed", output=self.main.value)
            else:
                self.end("Failed", error=str(self.main.error))
            return
        self._act(attempt)

    def _go_on(self) -> None:
        if not self._is_begun:
            self._is_begun, self.status = True, "Running"
            self._resume(self.main)
        if self.main.code is not None:
            self._reach_code(self.main, self.main.code)
        while hashed := next((one for one in self._finished if one in self._waiting), None):
            self._deliver(self._waiting.pop(hashed), self.steps[hashed])

    def _deliver(self, task: Task, step: Step) -> None:
        task.step = None
        if step.error is not None:
            self._resume(task, error=StepFailedError(step.error))
        else:
            self._resume(task, step.output)

    def _resume(self, task: Task, value: Any = None, error: StepFailedError | None = None) -> None:
        """Let a task go on to where it waits next, or to its end."""
        try:
            asked = task.meaning.send(value) if error is None else task.meaning.throw(error)
        except StopIteration as end:
            task.is_done, task.value = True, end.value
            self._end_task(task)
        except StepFailedError as failed:
            task.is_done, task.error = True, failed
            self._end_task(task)
        else:
            self._reach(task, asked)

    def _reach(self, task: Task, asked: Asked) -> None:
        if asked.kind is not None:
            self._open_group(task, asked)
        elif isinstance(asked.statement, Break):
            self._reach_code(task, asked)
        else:
            hashed = self._identify(asked.step_id)
            task.step = self.steps.setdefault(hashed, Step(hashed, asked))
            task.step.races = task.step.races or task.is_racing
            self._waiting[hashed] = task

    def _reach_code(self, task: Task, asked: Asked) -> None:
        task.code = asked
        self._failures[asked.label] = self._failures.get(asked.label, 0) + 1
        if self._failures[asked.label] <= asked.statement.fails:
            raise CodeFailedError
        task.code = None
        self._resume(task)

    def _identify(self, step_id: str) -> str:
        uses = self._uses
        if step_id not in uses:
            uses[step_id] = 1
            return sha1(step_id)
        index = uses[step_id]
        while f"{step_id}:{index}" in uses:
            index += 1
        uses[step_id], uses[f"{step_id}:{index}"] = index + 1, 1
        return sha1(f"{step_id}:{index}")

    def _open_group(self, task: Task, asked: Asked) -> None:
        task.group = group = Group(asked, task, [])
        group.tasks = [Task(meaning, group) for meaning in asked.branches]
        for branch in group.tasks:
            if not group.is_over:
                self._resume(branch)
        if not group.tasks:
            self._close_group(group, [])

    def _end_task(self, task: Task) -> None:
        group = task.parent
        if group is None or group.is_over:
            return
        group.ended.append(task)
        kind = group.asked.kind
        if task.error is not None and kind not in ("gather errors",):
            if kind != "gather":
                for other in group.tasks:
                    self._abandon(other)
            self._close_group(group, None, task.error)
        elif kind == "race":
            for other in group.tasks:
                self._abandon(other)
            self._close_group(group, task.value)
        elif len(group.ended) == len(group.tasks):
            ended = group.ended if kind == "as completed" else group.tasks
            self._close_group(group, ["failed" if one.error else one.value for one in ended])

    def _abandon(self, task: Task) -> None:
        """Do not go on with a task, nor with what it has begun."""
        if task.step is not None:
            self._waiting.pop(task.step.hashed, None)
        if task.group is not None:
            for other in task.group.tasks:
                self._abandon(other)

    def _close_group(self, group: Group, value: Any, error: StepFailedError | None = None) -> None:
        group.is_over = True
        group.owner.group = None
        self._resume(group.owner, value, error)

    def _act(self, attempt: int) -> None:
        """Do what the server and the function do about the steps that were found."""
        tasks = list(self._waiting.values())
        found = [task.step for task in tasks if task.step is not None]
        if not found:
            return
        if len(found) == 1 and not tasks[0].is_planned and not self._plans and is_executed(found[0]):
            self._execute(found[0], attempt, planned=False)
            return
        if len(found) > 1:
            self._plans = True
            if any(is_executed(step) for step in found):
                self._pending |= {step.hashed for step in found}
        for step in sorted(found, key=lambda step: not isinstance(step.asked.statement, Wait)):
            if step.status == "Queued" and not step.is_open:
                step.is_open = True
                self._open(step)

    def _open(self, step: Step) -> None:
        now, one = self.model.now, step.asked.statement
        match one:
            case Sleep():
                step.status = "Sleeping"
                self.model.at(now + one.seconds, lambda: self._finish(step, None))
            case Wait():
                step.status = "Waiting"
                self.model.waits.append((self, step))
                self.model.at(now + one.seconds, lambda: self._finish(step, None, status="TimedOut"))
            case Invoke():
                step.status = "Invoking"
                key = f"{self.key}/{step.asked.label}"
                if one.seconds is not None:
                    self.model.at(now + one.seconds, lambda: self.fail(step, "InngestInvokeTimeoutError"))
                self.model.start(one.function, key, (self, step))
            case _:
                self.model.at(now, lambda: self.call(0, step))

    def _execute(self, step: Step, attempt: int, *, planned: bool) -> None:
        """Try a step once."""
        target = step if planned else None
        one, label = step.asked.statement, step.asked.label
        if isinstance(one, Send):
            step.attempts = attempt + 1
            self.model.publish(OWN_EVENT, self.key, 1)
            self._finish(step, 1)
            return
        assert isinstance(one, Work)
        self._failures[label] = self._failures.get(label, 0) + 1
        is_last = attempt >= self.program.retries
        if self._failures[label] > one.fails:
            step.attempts = attempt + 1
            self._finish(step, one.value)
        elif one.how == "stop":
            self.end("Failed", error="NonRetriableError")
        elif one.how == "later":
            self._fail_attempt(attempt, target, RETRY_AFTER, "RetryAfterError")
        elif is_last:
            step.attempts = attempt + 1
            self.fail(step, "ValueError")
        else:
            step.attempts = attempt + 1
            self.model.at(self.model.now + BACKOFF[attempt], lambda: self.call(attempt + 1, target))

    def _fail_attempt(self, attempt: int, target: Step | None, delay: float, error: str) -> None:
        if attempt >= self.program.retries:
            self.end("Failed", error=error)
        else:
            self.model.at(self.model.now + delay, lambda: self.call(attempt + 1, target))

    def fail(self, step: Step, error: str) -> None:
        """End a step with an error."""
        self._finish(step, None, status="Failed", error=error)

    def answer(self, step: Step, value: Any) -> None:
        """End a step that waited."""
        self._finish(step, value)

    def _finish(self, step: Step, value: Any, status: str = "Completed", error: str | None = None) -> None:
        if step.is_finished or self.ended_at is not None:
            return
        step.status, step.output, step.error, step.ends_at = status, value, error, self.model.now
        self._finished.append(step.hashed)
        grouped = step.hashed in self._pending
        self._pending.discard(step.hashed)
        if grouped and not step.races:
            if self._pending:
                return
            self._plans = False
        self.model.at(self.model.now, lambda: self.call(0))

    def end(self, status: str, *, output: Any = None, error: str | None = None) -> None:
        """End the run."""
        self.status, self.output, self.error, self.ended_at = status, output, error, self.model.now
        for step in self.steps.values():
            if not step.is_finished:
                step.status, step.ends_at = "Cancelled", self.model.now
        if self.invoker is not None:
            run, step = self.invoker
            if error is None:
                run.answer(step, output)
            else:
                run.fail(step, error)


class Model:
    """The app, the events, and the time."""

    def __init__(self, programs: tuple[Program, ...], now: float) -> None:
        self.programs = programs
        self.now = now
        self.runs: dict[str, Run] = {}
        self.waits: list[tuple[Run, Step]] = []
        self.sent = 0
        self.paused: set[int] = set()
        self._held: list[Run] = []
        self._due: list[tuple[float, int, Any]] = []
        self._numbers: Iterator[int] = itertools.count()

    def at(self, moment: float, action: Any) -> None:
        """Do something at a moment, after what was to be done then already."""
        heapq.heappush(self._due, (moment, next(self._numbers), action))

    def start(self, number: int, key: str, invoker: tuple[Run, Step] | None = None) -> None:
        """Start a run, as soon as its function is not paused."""
        run = self.runs[key] = Run(self, self.programs[number], key, invoker)
        if number in self.paused:
            self._held.append(run)
        else:
            self.at(self.now, lambda: run.call(0))

    def cancel(self, key: str) -> None:
        """Cancel a run."""
        self.runs[key].end("Cancelled", error="FunctionCancelled")

    def pause(self, number: int) -> None:
        """Start no runs of a function."""
        self.paused.add(number)

    def resume(self, number: int) -> None:
        """Start those that waited."""
        self.paused.discard(number)
        for run in [one for one in self._held if one.program.number == number]:
            self._held.remove(run)
            self.at(self.now, lambda run=run: run.call(0))

    def publish(self, name: str, key: str, value: int) -> None:
        """Take an event in: it ends the waits for it."""
        self.sent += name == OWN_EVENT
        for run, step in list(self.waits):
            wait = step.asked.statement
            if step.status == "Waiting" and wait.event == name and (not wait.own or run.key == key):
                run.answer(step, value)

    def advance(self, moment: float) -> None:
        """Do what is due until a moment."""
        while self._due and self._due[0][0] <= moment:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = moment

    @property
    def next_due(self) -> float | None:
        """The moment at which something happens next."""
        return self._due[0][0] if self._due else None


def is_executed(step: Step) -> bool:
    """Say whether a step is code of the app."""
    return isinstance(step.asked.statement, (Work, Send))


def sha1(text: str) -> str:
    """Return the id of a step on the wire (protocol.md 6.1)."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
