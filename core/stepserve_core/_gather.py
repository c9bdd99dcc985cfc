"""`group.parallel`: branches that are run one after the other and reported together (protocol.md 6.4). Both colours.

A branch of an `async def` function may wait for tasks that it made. When nothing else happens any more, the branches
after it are run in a task of their own: one of them may have the step that the server asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stepserve_core._branch import Branch, current
from stepserve_core._colour import is_awaitable
from stepserve_core._engine import Run
from stepserve_core._found import Found
from stepserve_core._interrupts import BranchInterrupt
from stepserve_core._opcodes import ParallelMode


async def parallel(run: Run, branches: tuple[Callable[[], Any], ...], mode: ParallelMode) -> tuple[Any, ...]:
    """Run branches and return their results in order, or leave with the steps that they found."""
    outer = run.current_branch()
    outputs: list[Any] = [None] * len(branches)
    remaining = iter(enumerate(branches))

    async def go_on() -> None:
        rest = await _run_branches(run, remaining, outputs, mode)
        if rest is not None:
            await run.report_group(None, rest)

    group = run.runtime.open_group(go_on)
    try:
        found = await _run_branches(run, remaining, outputs, mode)
    finally:
        if group is not None:
            group.close()
    if found is not None:
        return await run.report_group(outer, found)
    if group is not None and group.task is not None:
        await group.task
    return tuple(outputs)


async def _run_branches(
    run: Run, branches: Iterator[tuple[int, Callable[[], Any]]], outputs: list[Any], mode: ParallelMode
) -> list[Found] | None:
    """Run those branches that nobody else takes; return what they found, None where all came to their ends."""
    found: list[Found] | None = None
    branch = Branch(run, run.runtime.owner(), mode)  # one object serves all: they run one after the other
    token = current.set(branch)
    settle = run.runtime.settle
    try:
        for index, callable_ in branches:
            try:  # not a method of the run: another coroutine for each of many branches would be a tenth of the call
                output = callable_()
                outputs[index] = await settle(callable_, output) if is_awaitable(output) else output
            except BranchInterrupt:
                pass  # it is noted in the branch, where user code cannot swallow it
            if branch.interrupt is not None:
                found = found or []
                found += run.end_branch(branch, branch.interrupt)
    finally:
        current.reset(token)
    return found
