"""`group.race`: the first branch that ends decides (protocol.md 13.8). For both colours, as `Run.parallel`.

Each call replays all branches. The winner is the one whose last step finished first, by the order of the stack; that
order only ever grows at its end, so every replay finds the same winner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stepserve_core._branch import Branch, current
from stepserve_core._colour import is_awaitable
from stepserve_core._engine import Run
from stepserve_core._found import Found
from stepserve_core._interrupts import BranchInterrupt
from stepserve_core._opcodes import ParallelMode


class _Settled(msgspec.Struct, frozen=True):
    """A branch that came to its end. `position` is that of its last step in the stack; -1 if it needed none."""

    position: int
    number: int
    output: Any
    error: Exception | None


async def race(run: Run, branches: tuple[Callable[[], Any], ...]) -> Any:
    """Run branches at the same time; return the result of the first that ends, or raise its error.

    Steps of the others that the server was asked for already still end, and are ignored; no new ones are asked for.

    Raises:
        ValueError: there are no branches.
    """
    if not branches:
        raise ValueError("group.race needs at least one branch")
    settled: list[_Settled] = []
    found: list[Found] = []
    outer = run.current_branch()
    branch = Branch(run, run.runtime.owner(), ParallelMode.RACE)
    token = current.set(branch)
    try:
        for number, callable_ in enumerate(branches):
            before = set(run.memos)
            output, error = None, None
            try:
                output = callable_()
                if is_awaitable(output):
                    output = await run.runtime.settle(callable_, output)
            except BranchInterrupt:
                pass
            except Exception as raised:  # an error ends a branch as a result does
                error = raised
            if branch.interrupt is not None:
                found += run.end_branch(branch, branch.interrupt)
            else:
                settled.append(_Settled(_last_position(run, before), number, output, error))
    finally:
        current.reset(token)
    if not settled:
        return await run.report_group(outer, found)
    winner = min(settled, key=lambda branch: (branch.position, branch.number))
    if winner.error is not None:
        raise winner.error
    return winner.output


def _last_position(run: Run, before: set[str]) -> int:
    """Return the position in the stack of the last step whose memo was taken since."""
    used = before - run.memos.keys()
    if not used:
        return -1
    finished = {hashed: position for position, hashed in enumerate(run.finished())}
    # Memos that the stack does not list come last, as everywhere.
    return max(finished.get(hashed, len(finished)) for hashed in used)
