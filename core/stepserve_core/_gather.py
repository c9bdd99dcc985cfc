"""`group.parallel`: branches that are run one after the other and reported together (protocol.md 6.4). Both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepserve_core._branch import Branch, current
from stepserve_core._colour import is_awaitable
from stepserve_core._engine import Run
from stepserve_core._found import Found
from stepserve_core._interrupts import BranchInterrupt
from stepserve_core._opcodes import ParallelMode


async def parallel(run: Run, branches: tuple[Callable[[], Any], ...], mode: ParallelMode) -> tuple[Any, ...]:
    """Run branches and return their results in order, or leave with the steps that they found."""
    outputs: list[Any] = []
    found: list[Found] | None = None
    outer = run.current_branch()
    branch = Branch(run, run.runtime.owner(), mode)  # one object serves all: they run one after the other
    token = current.set(branch)
    settle = run.runtime.settle
    try:
        for callable_ in branches:
            try:  # not a method of the run: another coroutine for each of many branches would be a tenth of the call
                output = callable_()
                outputs.append(await settle(callable_, output) if is_awaitable(output) else output)
            except BranchInterrupt:
                pass  # it is noted in the branch, where user code cannot swallow it
            if branch.interrupt is not None:
                found = found or []
                found += run.end_branch(branch, branch.interrupt)
    finally:
        current.reset(token)
    if found is None:
        return tuple(outputs)
    return await run.report_group(outer, found)
