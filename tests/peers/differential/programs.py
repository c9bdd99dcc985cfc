"""Random functions, as data: what they do, one after the other, and an interpreter for both packages and colours."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

MOMENT = datetime.datetime(2031, 5, 6, 7, 8, 9, 10_000, tzinfo=datetime.timezone.utc)


class Do(NamedTuple):
    """One thing that a function does: a step (`kind`, `step_id`), an error, or branches at the same time."""

    kind: str
    step_id: str = ""
    value: Any = None
    branches: tuple[tuple[Do, ...], ...] = ()
    is_caught: bool = False


def _do(*arguments: Any, is_caught: bool = False) -> Do:
    """Return a `Do`; hypothesis would invent the fields that are not given."""
    return Do(*arguments)._replace(is_caught=is_caught)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.sampled_from([0.5, -1.25, 1e21])
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "data", "error", "é", "name", "input"]), children, max_size=3)
    ),
    max_leaves=6,
)
step_ids = st.sampled_from(["a", "b", "c", "a:1", "é ü", "d/e"])
errors = st.sampled_from(["ValueError", "KeyError", "NonRetriableError", "RetryAfterError", "empty"])

plain_steps = st.one_of(
    st.builds(_do, st.just("run"), step_ids, json_values),
    st.builds(_do, st.just("run"), step_ids, json_values),
    st.builds(_do, st.just("run_raises"), step_ids, errors, is_caught=st.booleans()),
    st.builds(_do, st.just("sleep_until"), step_ids),
    st.builds(_do, st.just("sleep"), step_ids, st.sampled_from([1000, 60_000, 86_400_000])),
    st.builds(_do, st.just("wait"), step_ids, st.tuples(st.sampled_from([None, "async.data.x == 1"]), st.just(90_000))),
    st.builds(
        _do,
        st.just("invoke"),
        step_ids,
        st.tuples(
            st.sampled_from([None, "other"]),
            st.none() | st.dictionaries(st.sampled_from(["k", "l"]), json_values, max_size=2),
            st.sampled_from([None, 60_000]),
            st.sampled_from([None, "2"]),
        ),
    ),
    st.builds(_do, st.just("send"), step_ids, st.integers(0, 2)),
)
branches = st.lists(st.lists(plain_steps, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3).map(tuple)
parallel = st.builds(_do, st.just("parallel"), st.just(""), st.sampled_from(["wait", "race"]), branches)
ends = st.one_of(
    st.builds(_do, st.just("return"), st.just(""), json_values),
    st.builds(_do, st.just("raise"), st.just(""), errors),
    st.builds(_do, st.just("return_all")),
)
programs = st.tuples(st.lists(plain_steps | plain_steps | parallel, max_size=4), ends).map(lambda p: (*p[0], p[1]))


def hashed_ids(program: tuple[Do, ...]) -> dict[str, str]:
    """Return the kinds of steps by their hashed ids, in the order in which they are reached (6.1)."""
    counts: dict[str, int] = {}
    found: dict[str, str] = {}

    def visit(do: Do) -> None:
        for branch in do.branches:
            for inner in branch:
                visit(inner)
        if do.step_id:
            count = counts.get(do.step_id, 0)
            counts[do.step_id] = count + 1
            text = f"{do.step_id}:{count}" if count else do.step_id
            found.setdefault(hashlib.sha1(text.encode()).hexdigest(), do.kind)

    for do in program:
        visit(do)
    return found


def make_error(package: Any, name: str) -> Exception:
    """Return an error of a kind."""
    if name == "NonRetriableError":
        error: Exception = package.NonRetriableError("never")
    elif name == "RetryAfterError":
        error = package.RetryAfterError("later", MOMENT)
    else:
        error = {"ValueError": ValueError("bad"), "KeyError": KeyError("k"), "empty": ValueError()}[name]
    return error


class Interpreter:
    """Runs the program that is set at the moment."""

    def __init__(self, package: Any) -> None:
        self._package = package
        self.program: tuple[Do, ...] = ()

    def run(self, ctx: Any) -> Any:
        """Be a `def` function."""
        outputs: list[Any] = []
        for do in self.program:
            if do.kind in ("return", "return_all", "raise"):
                return self._end(do, outputs)
            if do.kind == "parallel":
                mode = self._package.ParallelMode(do.value)
                branches = tuple(self._branch(ctx, branch) for branch in do.branches)
                outputs.append(list(ctx.group.parallel(branches, parallel_mode=mode)))
            else:
                outputs.append(self._step(ctx, do))
        return outputs

    async def arun(self, ctx: Any) -> Any:
        """Be an `async def` function."""
        outputs: list[Any] = []
        for do in self.program:
            if do.kind in ("return", "return_all", "raise"):
                return self._end(do, outputs)
            if do.kind == "parallel":
                mode = self._package.ParallelMode(do.value)
                branches = tuple(self._abranch(ctx, branch) for branch in do.branches)
                outputs.append(list(await ctx.group.parallel(branches, parallel_mode=mode)))
            else:
                outputs.append(await self._astep(ctx, do))
        return outputs

    def _end(self, do: Do, outputs: list[Any]) -> Any:
        if do.kind == "raise":
            raise make_error(self._package, do.value)
        return outputs if do.kind == "return_all" else do.value

    def _branch(self, ctx: Any, branch: tuple[Do, ...]) -> Callable[[], Any]:
        return lambda: [self._step(ctx, do) for do in branch]

    def _abranch(self, ctx: Any, branch: tuple[Do, ...]) -> Callable[[], Any]:
        async def run() -> Any:
            return [await self._astep(ctx, do) for do in branch]

        return run

    def _step(self, ctx: Any, do: Do) -> Any:
        try:
            return _plain(self._reach(ctx, do, self._handler(do)))
        except self._package.StepError as error:
            if not do.is_caught:
                raise
            return [error.name, error.message, error.stack]

    async def _astep(self, ctx: Any, do: Do) -> Any:
        handler = self._handler(do)

        async def ahandler() -> Any:
            return handler()

        try:
            return _plain(await self._reach(ctx, do, ahandler))
        except self._package.StepError as error:
            if not do.is_caught:
                raise
            return [error.name, error.message, error.stack]

    def _handler(self, do: Do) -> Callable[[], Any]:
        def handler() -> Any:
            if do.kind == "run_raises":
                raise make_error(self._package, do.value)
            return do.value

        return handler

    def _reach(self, ctx: Any, do: Do, handler: Callable[[], Any]) -> Any:
        step = ctx.step
        if do.kind in ("run", "run_raises"):
            return step.run(do.step_id, handler)
        if do.kind == "sleep":
            return step.sleep(do.step_id, do.value)
        if do.kind == "sleep_until":
            return step.sleep_until(do.step_id, MOMENT)
        if do.kind == "wait":
            return step.wait_for_event(do.step_id, event="x", if_exp=do.value[0], timeout=do.value[1])
        if do.kind == "invoke":
            app_id, data, timeout, v = do.value
            return step.invoke_by_id(do.step_id, app_id=app_id, function_id="g", data=data, timeout=timeout, v=v)
        events = [self._package.Event(name="sent", data={"n": n}) for n in range(do.value)]
        return step.send_event(do.step_id, events)


def _plain(output: Any) -> Any:
    return output.to_dict() if hasattr(output, "to_dict") else output
