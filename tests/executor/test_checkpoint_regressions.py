"""Ten things that went wrong in the first SDKs with checkpointing, end to end: our SDK and our executor over HTTP.

The numbers are those of the threads at github.com/inngest/inngest-js.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import stepserve
from stepserve import Checkpointing, Function, Inngest
from stepserve_core import _checkpoint_api
from stepserve_core.encryption import EncryptionMiddleware
from stepserve_core.executor.clock import VirtualClock
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, run
from tests.executor.sdk_system import sdk_system
from tests.executor.system import System

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.not_under(reason="regimes call functions anew for each step, so that they save none on the way"),
]
colours = pytest.mark.parametrize("colour", COLOURS)
BATCH = Checkpointing(batch_steps=10)


def one(colour: str, body: Any, settings: bool | Checkpointing = True, **options: Any) -> Callable[..., Any]:
    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body, checkpointing=settings, **options)]

    return make


async def calls_of(system: System, event_id: str) -> list[tuple[str, int]]:
    """Return (name, attempt) of what the timeline shows of each attempt that failed or ended the run."""
    run_id = (await system.run_of(event_id))["run_id"]
    return [
        (step["name"], attempt["attempt"])
        for step in (await system.trace(run_id))["steps"]
        for attempt in step["attempts"]
    ]


@colours
async def test_1190_a_checkpoint_api_that_fails_costs_calls_and_nothing_else(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[str] = []

    async def body(ctx: Any) -> Any:
        for name in "abcd":
            await ctx.step.run(name, executed.append, name)
        return executed

    monkeypatch.setattr(_checkpoint_api, "ATTEMPTS", 1)
    async with sdk_system(one(colour, body)) as system:
        unreachable = msgspec.structs.replace(system.client.settings, api_origin="http://127.0.0.1:9")
        system.client.settings = unreachable
        outcome = await system.outcome(await system.send("shop/order"))

    assert ("Completed", list("abcd")) == outcome


async def test_1387_requests_for_a_discovery_with_the_same_id_are_not_taken_for_one(start: StartSystem) -> None:
    calls: list[Call] = []

    def answer(call: Call) -> Any:
        calls.append(call)
        again = [{"op": "DiscoveryRequest", "id": hash_id("discover"), "name": "discover"}]
        return reply(206, again) if len(calls) < 4 else reply(200, len(calls))

    def script(call: Call) -> Any:
        return (yield run("never"))

    async with start(Fn("f", script, [{"event": "test/x"}])) as system:
        system.app.replies["f"] = answer
        outcome = await system.outcome(await system.send("test/x"))

    assert ("Completed", 4) == outcome


@colours
async def test_1329_what_waits_in_the_buffer_is_saved_before_the_run_sleeps(colour: str) -> None:
    executed: list[str] = []

    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", executed.append, "a")
        await ctx.step.run("b", executed.append, "b")
        await ctx.step.sleep("nap", 1)
        await ctx.step.run("c", executed.append, "c")
        return executed

    async with sdk_system(one(colour, body, BATCH), clock=VirtualClock(time.time())) as system:
        event_id = await system.send("shop/order")
        await system.idle()
        await system.advance(60)
        outcome = await system.outcome(event_id)

    assert ("Completed", ["a", "b", "c"]) == outcome


@colours
async def test_1466_a_step_after_the_longest_runtime_is_left_to_another_call_and_executed_once(colour: str) -> None:
    executed: list[str] = []

    async def body(ctx: Any) -> Any:
        for name in ctx.event.data["steps"]:
            await ctx.step.run(name, executed.append, name)
        return len(executed)

    soon = Checkpointing(max_runtime=1)
    async with sdk_system(one(colour, body, soon)) as system:
        outcome = await system.outcome(await system.send("shop/order", {"steps": ["a", "b", "c"]}))
        without_steps = await system.outcome(await system.send("shop/order", {"steps": []}))

    assert (("Completed", 3), ("Completed", 3), ["a", "b", "c"]) == (outcome, without_steps, executed)


@colours
async def test_1511_a_call_that_the_server_has_given_up_stops_without_reporting_steps(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[str] = []
    answers: list[tuple[int, Any]] = []

    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", executed.append, "a")
        await ctx.step.run("b", executed.append, "b")
        return "done"

    async with sdk_system(one(colour, body)) as system:
        send = system.executor.transport.send

        async def sending(*call: Any) -> Any:
            if not answers:  # the server gives the call up as soon as it is made: its lease is another's
                await system.executor.write(lambda scope: scope.tables.queue.expire_leases(None))
                await system.executor.write(lambda scope: scope.tables.queue.claim(1, scope.now + 1))
            answer = await send(*call)
            answers.append((answer.status, json.loads(answer.body)))
            return answer

        monkeypatch.setattr(system.executor.transport, "send", sending)
        await system.send("shop/order")
        while not answers:
            await asyncio.sleep(0.01)

    ((status, error),) = answers
    assert (500, "StaleDispatchError", ["a"]) == (status, error["name"], executed)


@colours
async def test_1540_every_step_has_its_retries_whatever_the_steps_before_it_used(colour: str) -> None:
    tries: dict[str, int] = {}

    def flaky(name: str) -> str:
        tries[name] = tries.get(name, 0) + 1
        if tries[name] == 1:
            raise ValueError(f"no {name}")
        return name

    async def body(ctx: Any) -> Any:
        return [await ctx.step.run(name, flaky, name) for name in "abc"]

    async with sdk_system(one(colour, body, retries=1)) as system:
        event_id = await system.send("shop/order")
        outcome = await system.outcome(event_id)
        attempts = await calls_of(system, event_id)

    assert ("Completed", ["a", "b", "c"]) == outcome
    assert [(name, attempt) for name in "abc" for attempt in (0, 1)] == [each for each in attempts if each[0] in "abc"]


@colours
async def test_1518_the_moment_of_a_retry_survives_the_checkpoint_before_it(colour: str) -> None:
    tries: list[int] = []

    def later() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise stepserve.RetryAfterError("not yet", 3600_000)
        return "done"

    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: 1)
        return await ctx.step.run("b", later)

    clock = VirtualClock()
    async with sdk_system(one(colour, body, BATCH, retries=1), clock=clock) as system:
        event_id = await system.send("shop/order")
        await system.idle()
        before = list(tries)
        await system.advance(10**9)
        outcome = await system.outcome(event_id)

    assert ([1], ("Completed", "done")) == (before, outcome)


@dataclasses.dataclass
class Order:
    number: int


@colours
async def test_1622_a_function_sees_outputs_as_it_will_see_them_on_replay(colour: str) -> None:
    seen: list[list[str]] = []

    def typed() -> Order:
        return Order(1)

    async def body(ctx: Any) -> Any:
        outputs = [await ctx.step.run("plain", lambda: ({1: (2,)}, True)), await ctx.step.run("typed", typed)]
        seen.append([repr(output) for output in outputs])
        await ctx.step.sleep("nap", 1)

    async with sdk_system(one(colour, body)) as system:
        event_id = await system.send("shop/order")
        while (await system.outcome(event_id))[0] != "Completed":
            pass

    assert [["[{'1': [2]}, True]", "Order(number=1)"]] * 2 == [
        [each.replace("test_checkpoint_regressions.", "") for each in one_call] for one_call in seen
    ]


@colours
async def test_1620_parallel_steps_between_checkpointed_ones_do_not_hang(colour: str) -> None:
    executed: list[str] = []

    def note(name: str) -> str:
        executed.append(name)
        return name

    async def body(ctx: Any) -> Any:
        first = await ctx.step.run("first", note, "first")
        branches = tuple((lambda name=name: ctx.step.run(name, note, name)) for name in "abc")
        group = await ctx.group.parallel(branches)
        second = await ctx.step.run("second", note, "second")
        pair = await ctx.group.parallel(tuple((lambda name=name: ctx.step.run(name, note, name)) for name in "de"))
        return [first, *group, second, *pair, await ctx.step.run("last", note, "last")]

    async with sdk_system(one(colour, body)) as system:
        outcome = await system.outcome(await system.send("shop/order"))

    assert ("Completed", ["first", "a", "b", "c", "second", "d", "e", "last"]) == outcome
    assert sorted(["first", *"abc", "second", *"de", "last"]) == sorted(executed)


@colours
async def test_1389_middleware_has_seen_what_a_checkpoint_saves(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        first = await ctx.step.run("a", lambda: {"secret": 1})
        await ctx.step.sleep("nap", 1)
        return [first, await ctx.step.run("b", lambda: "secret")]

    encryption = EncryptionMiddleware.factory("my-secret")
    async with sdk_system(one(colour, body, middleware=[encryption])) as system:
        event_id = await system.send("shop/order")
        while (await system.outcome(event_id))[0] != "Completed":
            pass
        run_id = (await system.run_of(event_id))["run_id"]
        trace = json.dumps(await system.trace(run_id))

    assert "__ENCRYPTED__" in trace
    assert "secret" not in trace
