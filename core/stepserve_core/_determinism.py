"""Help against functions that do not replay: warnings that name the step, or errors (protocol.md 6.7).

A function is called from its top once for every step, so it must reach the same steps in the same order each time.
The server cannot know when it does not. Here that is found where it can be found without false alarms:

- a step id that repeats at the same place in the code, as in a loop: the server tells such steps apart by order alone;
- steps of one thread of control that are reached in another order than they finished in;
- a function that returns although a finished step was not reached;
- a step that is given other arguments than in an earlier call of the run, where this process served that;
- the clock or random numbers read outside of steps.

Branches of groups and tasks finish in any order and may be skipped by a race, so the second rule looks only at steps
outside of them, and the third only at functions without them.

`STEPSERVE_STRICT`: `1` makes errors of all five; `warn` warns of all five; `0` checks nothing. Not set, the first four
are warned of in development, and nothing is checked in production: there the engine runs without this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from stepserve_core._checker import VARIABLE, Checker
from stepserve_core._engine import Run, executing_step
from stepserve_core._given_arguments import shown
from stepserve_core._interrupts import Abort
from stepserve_core._memos import Memo
from stepserve_core._protocol import CallContext
from stepserve_core._runtime import AsyncRuntime
from stepserve_core.errors import DeterminismError

Site = tuple[int, ...]

_OUR_FILES = (
    os.path.join(os.path.dirname(os.path.abspath(__file__)), ""),
    os.path.join(os.path.dirname(os.__file__), "asyncio", ""),
)


class CheckedRun(Run):
    """A run that looks at how its steps are reached."""

    checker: Checker
    function_id: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sites: dict[str, set[Site]] = {}
        self._positions: dict[str, int] | None = None
        self._last: tuple[int, str] = (-1, "")
        self._has_company = False
        self._pending: DeterminismError | None = None
        self._reached: str | None = None
        self._attempt = 0
        self._given: dict[tuple[str, int], str] = {}
        self._arguments: tuple[Any, ...] = ()
        self.changed_arguments: dict[str, str] = {}
        """Steps that were given other arguments than before, with what both were."""

    def check_with(self, checker: Checker, function_id: str, ctx: CallContext) -> None:
        """Tell `checker` what is found in this call."""
        self.checker, self.function_id, self._attempt = checker, function_id, ctx.attempt
        self._given = checker.given.of_run(ctx.run_id)

    def expect(self, arguments: tuple[Any, ...]) -> None:
        """Take note of the arguments of the step that is identified next."""
        self._arguments = arguments

    def identify(self, step_id: str) -> str:
        """Count a use of a step id, as the base does, and look whether the same place in the code used it before."""
        arguments, self._arguments = self._arguments, ()
        if self._pending is not None:
            self._depart(self._pending)
        hashed = super().identify(step_id)
        self.checker.remember(hashed, step_id)
        self._compare_arguments(step_id, hashed, arguments)
        self._note_company()
        self._reached = step_id
        site, frame = _call_site()
        sites = self._sites.get(step_id)
        if sites is None:
            self._sites[step_id] = {site}
            return hashed
        if site in sites:
            place = "" if frame is None else f", {frame.f_code.co_filename}:{frame.f_lineno}"
            self._find(
                f"uses the step id {step_id!r} again at the same place{place}: in a loop, the server tells such steps"
                f" apart by their order alone. Put what differs into the id: step.run(f'{step_id}-{{item.id}}', …)"
            )
        sites.add(site)
        return hashed

    def _compare_arguments(self, step_id: str, hashed: str, arguments: tuple[Any, ...]) -> None:
        """Look whether a step is given what it was given before. By attempt, because it may be given its number."""
        given = shown(arguments, in_full=self.checker.shows_arguments)
        if given is None or given == (before := self._given.setdefault((hashed, self._attempt), given)):
            return
        both = self.changed_arguments[step_id] = f"{before} and then {given}"
        self._find(
            f"gives step {step_id!r} other arguments than in an earlier call of the run: {both}. If the step is"
            " executed again it does something else. What it is given must come from the event or from steps",
            about=f"arguments of {step_id} in {self.function_id}",
        )

    def recall(self, hashed: str) -> object:
        """Return a memo, as the base does, and look whether steps are reached in the order in which they finished."""
        if hashed in self.memos and not self._note_company():
            position = self._position(hashed)
            if position is not None:
                if position < self._last[0]:
                    name, other = self.checker.name(hashed), self.checker.name(self._last[1])
                    self._find(
                        f"reaches step {name} after step {other}, but it finished before: the order of steps changed"
                        " while the run was under way. What decides about the order must come from the event or from"
                        " steps; deploy changed code under another function id, or let runs end first"
                    )
                self._last = (position, hashed)
        return super().recall(hashed)

    def check_ended(self) -> None:
        """Refuse results as the base does, and look whether finished steps were not reached."""
        super().check_ended()
        if self._pending is not None:
            raise self._pending
        if self._has_company:
            return
        for hashed, memo in self.memos.items():
            if self._position(hashed) is not None and not (isinstance(memo, Memo) and memo.args is not None):
                finding = (
                    f"returned without reaching step {self.checker.name(hashed)}, which has finished in this run."
                    " What decides whether a step is reached must come from the event or from steps"
                )
                if self.checker.is_strict:
                    raise self._error(finding)
                self.checker.warn(f"function {self.function_id} {finding}")

    def watched(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return `handler`, watched for reading the clock or random numbers."""
        from stepserve_core._clock_watch import watching  # noqa: PLC0415 - for those who ask for it

        if isinstance(self.runtime, AsyncRuntime):

            async def watched_async(context: object) -> object:
                with watching(self._note_read):
                    return await handler(context)

            return watched_async

        def watched(context: object) -> object:
            with watching(self._note_read):
                return handler(context)

        return watched

    def _note_read(self, what: str, place: str) -> None:
        if executing_step() is not None:
            return
        when = "at its start" if self._reached is None else f"after step {self._reached!r}"
        finding = (
            f"reads {what} at {place}, {when} and outside of steps: at each replay it reads something else."
            " Read it in a step: step.run('now', …)"
        )
        if not self.checker.is_strict:
            self.checker.warn(f"function {self.function_id} {finding}")
        elif self._pending is None:  # an error must not come out of a profiling hook
            self._pending = self._error(finding)

    def _note_company(self) -> bool:
        """Say whether this is a branch of a group, or another task than the function's own."""
        runtime = self.runtime
        apart = self.current_branch() is not None or (
            isinstance(runtime, AsyncRuntime) and runtime.owner() is not runtime.discovery.main
        )
        if apart:
            self._has_company = True
        return apart

    def _position(self, hashed: str) -> int | None:
        if self._positions is None:
            self._positions = {finished: position for position, finished in enumerate(self.finished())}
        return self._positions.get(hashed)

    def _find(self, finding: str, about: str | None = None) -> None:
        if self.checker.is_strict:
            self._depart(self._error(finding))
        self.checker.warn(f"function {self.function_id} {finding}", about)

    def _error(self, finding: str) -> DeterminismError:
        return DeterminismError(f"function {self.function_id} {finding} ({VARIABLE}=1)")

    def _depart(self, error: DeterminismError) -> NoReturn:
        raise self.leave(Abort(error))


_ours: dict[str, bool] = {}
"""Which files are ours, or asyncio's; asked for every frame."""


def _is_ours(file: str) -> bool:
    known = _ours.get(file)
    if known is None:
        known = _ours[file] = file.startswith(_OUR_FILES)
    return known


def _call_site() -> tuple[Site, FrameType | None]:
    """Return what tells a place in the user's code from others: it and all its callers up to ours; and its frame."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    place, site = frame, list[int]()
    while frame is not None and not _is_ours(frame.f_code.co_filename):
        site += (id(frame.f_code), frame.f_lasti)  # the code itself would be hashed as a whole
        frame = frame.f_back
    return tuple(site), place
