"""Random functions: trees of steps, in sequence and in parallel, run to the end in random orders.

Whatever the tree and the order, every step succeeds exactly once and the output is what plain Python would give.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.calls import define, dev_client, make_handler
from tests.core.driver import Server

Tree = tuple[Any, ...]
"""("run", failures), ("sleep",), ("pause", tree), or (a way of combining, trees)."""

RETRIES = 2

_leaves = st.tuples(st.just("run"), st.integers(0, RETRIES)) | st.just(("sleep",))


def _trees(ways: list[str], *, pauses: bool) -> st.SearchStrategy[Tree]:
    def grow(trees: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        combined = st.tuples(st.sampled_from(ways), st.lists(trees, max_size=4))
        return combined | st.tuples(st.just("pause"), trees) if pauses else combined

    return st.recursive(_leaves, grow, max_leaves=12)


# Looked up by name: the type checkers check for Python 3.10, which has none.
TaskGroup: Any = getattr(asyncio, "TaskGroup", None)
ASYNC_WAYS = ["sequence", "gather", "group", "tasks", "wait", *([] if TaskGroup is None else ["task group"])]
sync_trees = _trees(["sequence", "group"], pauses=False)
async_trees = _trees(ASYNC_WAYS, pauses=True)


def expected(tree: Tree, path: str = "t") -> object:
    """Return what the tree gives: the path of each step, in the shape of the tree."""
    kind = tree[0]
    if kind == "run":
        return path
    if kind == "sleep":
        return None
    if kind == "pause":
        return expected(tree[1], path)
    return [expected(child, f"{path}.{index}") for index, child in enumerate(tree[1])]


def runs(tree: Tree, path: str = "t") -> dict[str, int]:
    """Return how often each step has to be executed: once, and once more for every failure."""
    kind = tree[0]
    if kind == "run":
        return {path: 1 + tree[1]}
    if kind == "sleep":
        return {}
    if kind == "pause":
        return runs(tree[1], path)
    return {step: n for index, child in enumerate(tree[1]) for step, n in runs(child, f"{path}.{index}").items()}


class Function:
    """Evaluates a tree with steps, and counts how often each one is executed."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.executed: Counter[str] = Counter()

    async def body(self, ctx: Any) -> object:
        """Evaluate the tree."""
        return await self._evaluate(ctx, self._tree, "t")

    async def _evaluate(self, ctx: Any, tree: Tree, path: str) -> object:
        kind = tree[0]
        if kind == "run":
            return await ctx.step.run(path, self._work, path, tree[1])
        if kind == "sleep":
            return await ctx.step.sleep(path, 1000)
        if kind == "pause":
            await asyncio.sleep(0)
            await asyncio.sleep(0.0005)
            return await self._evaluate(ctx, tree[1], path)
        children = [(child, f"{path}.{index}") for index, child in enumerate(tree[1])]
        if kind == "sequence":
            return [await self._evaluate(ctx, *child) for child in children]
        if kind == "group":
            return list(await ctx.group.parallel(tuple(lambda c=c: self._evaluate(ctx, *c) for c in children)))
        return await self._at_the_same_time(ctx, kind, children)

    async def _at_the_same_time(self, ctx: Any, kind: str, children: list[tuple[Tree, str]]) -> list[object]:
        coroutines = [self._evaluate(ctx, *child) for child in children]
        if kind == "gather":
            return list(await asyncio.gather(*coroutines))
        if kind == "task group":
            async with TaskGroup() as group:
                tasks = [group.create_task(coroutine) for coroutine in coroutines]
            return [task.result() for task in tasks]
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        if kind == "wait":
            late = set(tasks)
            while late:
                _, late = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
        return [await task for task in tasks]

    def _work(self, path: str, failures: int) -> str:
        self.executed[path] += 1
        if self.executed[path] <= failures:
            raise ValueError("not yet")
        return path


def check(colour: str, tree: Tree, seed: int, version: int) -> None:
    """Run a tree to its end and compare."""
    function = Function(tree)
    client = dev_client(logger=_Silent())
    handler = make_handler(client, define(client, colour, function.body))
    entry = "handle" if colour == "sync" else "ahandle"

    outcome = Server(handler, entry=entry, random=Random(seed), version=version, retries=RETRIES).run()

    assert (200, expected(tree)) == outcome[:2]
    assert runs(tree) == dict(function.executed)


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail soon where a step is targeted that is not reached."""
    monkeypatch.setattr("stepserve_core._parallel.TARGET_PATIENCE", 1.0)


thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@thorough
@given(sync_trees, st.integers(0, 2**16), st.sampled_from([1, 2]))
def test_sync_functions(tree: Tree, seed: int, version: int) -> None:
    check("sync", tree, seed, version)


@thorough
@given(async_trees, st.integers(0, 2**16), st.sampled_from([1, 2]))
def test_async_functions(tree: Tree, seed: int, version: int) -> None:
    check("async", tree, seed, version)


@thorough
@given(sync_trees, st.integers(0, 2**16), st.sampled_from([1, 2]))
def test_async_functions_without_tasks(tree: Tree, seed: int, version: int) -> None:
    check("async", tree, seed, version)
