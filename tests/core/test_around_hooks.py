"""Hooks that stand around a call, around the function, around a step: ours, beside those of protocol.md 9.2."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import pytest

import stepserve_core as core
from tests.core import local_server
from tests.core.calls import call, dev_client, hashed

where: ContextVar[str] = ContextVar("where", default="outside")


def surrounding(log: list[str], tag: str = "") -> type[core.Middleware]:
    """Return middleware that says what it stands around, and sets a context variable meanwhile."""

    @contextlib.contextmanager
    def around(name: str) -> Generator[None, None, None]:
        log.append(f"{tag}{name} in")
        token = where.set(f"{where.get()} > {name}")
        try:
            yield
        except BaseException as error:
            log.append(f"{tag}{name} out with {type(error).__name__}")
            raise
        else:
            log.append(f"{tag}{name} out")
        finally:
            where.reset(token)

    class Surrounding(core.Middleware):
        def around_call(self, call: core.CallInfo) -> Any:
            assert ("app-f", "01HRUN", 0) == call
            return around("call")

        def around_function(self, call: core.CallInfo) -> Any:
            assert ("app-f", "01HRUN", 0) == call
            return around("function")

        def around_step(self, step: core.TransformOutputStepInfo) -> Any:
            return around(f"step {step.id}")

        def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
            log.append(f"{tag}input, {where.get()}")

        def before_response(self) -> None:
            log.append(f"{tag}response, {where.get()}")

    return Surrounding


def traced(colour: str, body: Any, **fields: Any) -> list[str]:
    """Call a function with such middleware; return what it says."""
    log: list[str] = []
    call(colour, body, client=dev_client(middleware=[surrounding(log)]), **fields)
    return log


INSIDE_CALL = ["input, outside > call"], ["response, outside > call"]


async def returns(ctx: Any) -> str:
    """Return at once."""
    return where.get()


async def raises(ctx: Any) -> None:
    """Fail at once."""
    raise ValueError("boom")


async def two_steps(ctx: Any) -> object:
    """Use two steps."""
    await ctx.step.run("a", where.get)
    return await ctx.step.run("b", where.get)


async def fails_in_a_step(ctx: Any) -> object:
    """Fail in a step."""
    return await ctx.step.run("a", dict[str, str]().__getitem__, "key")


async def fails_for_good(ctx: Any) -> object:
    """Fail in a step for the whole function."""

    def never() -> None:
        raise core.NonRetriableError("never")

    return await ctx.step.run("a", never)


async def sleeps(ctx: Any) -> object:
    """Sleep."""
    return await ctx.step.sleep("a", 1000)


@pytest.mark.parametrize(
    ("body", "steps", "expected"),
    [
        (returns, [], ["function in", "function out"]),
        (raises, [], ["function in", "function out with ValueError"]),
        (sleeps, [], ["function in", "function out"]),
        (two_steps, [], ["function in", "step a in", "step a out", "function out"]),
        (two_steps, ["a"], ["function in", "step b in", "step b out", "function out"]),
        (two_steps, ["a", "b"], ["function in", "function out"]),
        (fails_in_a_step, [], ["function in", "step a in", "step a out with KeyError", "function out"]),
        (
            fails_for_good,
            [],
            [
                "function in",
                "step a in",
                "step a out with NonRetriableError",
                "function out with NonRetriableError",
            ],
        ),
    ],
)
def test_what_is_stood_around(colour: str, body: Any, steps: list[str], expected: list[str]) -> None:
    memos = {hashed(step): {"data": None} for step in steps}

    log = traced(colour, body, steps=memos)

    last = "call out" + "".join(line.removeprefix("function out") for line in expected if "function out w" in line)
    assert ["call in", "input, outside > call", *expected, "response, outside > call", last] == log


def test_context_variables_that_are_set_around_are_seen_inside(colour: str) -> None:
    client = dev_client(middleware=[surrounding([])])

    assert "outside > call > function" == call(colour, returns, client=client).json
    assert "outside > call > function > step a" == call(colour, two_steps, client=client).json[0]["data"]
    assert "outside" == where.get()


def test_the_first_middleware_stands_outside(colour: str) -> None:
    log: list[str] = []
    client = dev_client(middleware=[surrounding(log, "1 "), surrounding(log, "2 ")])

    call(colour, returns, client=client)

    assert ["1 call in", "2 call in"] == log[:2]
    assert ["2 call out", "1 call out"] == log[-2:]
    assert ["2 function out", "1 function out"] == [line for line in log if "function out" in line]


def test_plans_execute_nothing(colour: str) -> None:
    assert ["function in", "function out"] == traced(colour, two_steps, plan_only=True)[2:4]


@pytest.mark.parametrize("hook", ["around_call", "around_function", "around_step"])
def test_an_error_in_such_a_hook_is_an_error_of_what_it_stands_around(colour: str, hook: str) -> None:
    log: list[str] = []

    def fail(self: Any, what: Any) -> Any:
        raise RuntimeError("hook failed")

    failing = type("Failing", (core.Middleware,), {hook: fail})
    reply = call(colour, two_steps, client=dev_client(middleware=[surrounding(log), failing]))

    error = reply.json[0]["error"] if hook == "around_step" else reply.json
    assert ("RuntimeError", "hook failed") == (error["name"], error["message"])
    assert sum(line.endswith(" in") for line in log) == sum(" out" in line and "outside" not in line for line in log)


def test_an_error_that_was_taken_away_is_not_seen_around_the_call(colour: str) -> None:
    log: list[str] = []

    def rescue(self: Any, result: core.TransformOutputResult) -> None:
        result.error, result.output = None, "rescued"

    rescuing = type("Rescuing", (core.Middleware,), {"transform_output": rescue})
    call(colour, raises, client=dev_client(middleware=[surrounding(log), rescuing]))

    assert "function out with ValueError" in log
    assert "call out" == log[-1]


def test_a_failed_response_hook_is_seen_around_the_call(colour: str) -> None:
    log: list[str] = []

    def fail(self: Any) -> None:
        raise RuntimeError("too late")

    failing = type("Failing", (core.Middleware,), {"before_response": fail})
    call(colour, returns, client=dev_client(middleware=[surrounding(log), failing]))

    assert "call out with RuntimeError" == log[-1]


def test_middleware_sees_the_headers_of_the_request(colour: str) -> None:
    seen: list[Any] = []

    def see(self: Any, ctx: Any, function: Any, steps: Any) -> None:
        seen.append(self.request_headers.get("x-mine"))

    client = dev_client(middleware=[type("Seeing", (core.Middleware,), {"transform_input": see})])
    call(colour, returns, client=client, headers={"x-mine": "yes"})

    assert ["yes"] == seen


def test_there_are_no_headers_while_events_are_sent() -> None:
    seen: list[Any] = []

    def see(self: Any, events: Any) -> None:
        seen.append((self.request_headers.get("x-mine"), self.raw_request))

    with local_server.serving(local_server.Reply(200, b'{"ids":["1"]}')) as server:
        middleware = [type("Seeing", (core.Middleware,), {"before_send_events": see})]
        dev_client(event_api_base_url=server.origin, middleware=middleware).send_sync(core.Event(name="x"))

    assert [(None, None)] == seen
