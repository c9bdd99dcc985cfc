"""Runs from event to end, over real sockets: an app that speaks the SDK side, and a database file."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, StepFailedError, hash_id, reply, run

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
async def test_steps_run_once_each_and_the_run_completes_with_the_result(start: StartSystem) -> None:
    executed: list[str] = []

    def execute(name: str, value: int) -> int:
        executed.append(name)
        return value

    def script(_: Call) -> Steps:
        first = yield run("first", lambda: execute("first", 1))
        second = yield run("second", lambda: execute("second", first + 1))
        return {"sum": first + second}

    async with start(Fn("f", script, ON_X)) as system:
        event_id = await system.send("test/x", {"n": 1})

        assert ("Completed", {"sum": 3}) == await system.outcome(event_id)
        assert ["first", "second"] == executed
        assert 3 == len(system.app.calls)


async def test_a_call_carries_event_memos_stack_and_context(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("a", {"x": 1})
        return None

    async with start(Fn("f", script, ON_X, retries=2)) as system:
        event_id = await system.send("test/x", {"n": 1.0}, user={"u": 1}, id="mine")
        await system.idle()
        first, second = system.app.calls

        assert {"data": {"n": 1}, "id": "mine", "name": "test/x", "user": {"u": 1}} == {
            key: value for key, value in first.event.items() if key != "ts"
        }
        assert [first.event] == first.body["events"]
        assert (-1, 2) == (first.body["version"], second.body["version"])
        assert {hash_id("a"): {"data": {"x": 1}}} == second.memos
        assert {"current": 1, "stack": [hash_id("a")]} == second.body["ctx"]["stack"]
        assert (0, 3) == (second.attempt, second.body["ctx"]["max_attempts"])
        assert (await system.run_of(event_id))["run_id"] == second.body["ctx"]["run_id"]


async def test_a_failed_step_is_retried_and_the_run_goes_on(start: StartSystem) -> None:
    def flaky(call: Call) -> str:
        if call.attempt == 0:
            raise RaisedError("first time")
        return "ok"

    def script(call: Call) -> Steps:
        return (yield run("flaky", lambda: flaky(call)))

    async with start(Fn("f", script, ON_X)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", "ok") == await system.outcome(event_id)
        assert [0, 1, 0] == [call.attempt for call in system.app.calls]


async def test_a_step_that_fails_for_good_can_be_caught(start: StartSystem) -> None:
    def fail() -> None:
        raise RaisedError("boom")

    def script(_: Call) -> Steps:
        try:
            yield run("bad", fail)
        except StepFailedError as error:
            return f"caught {error}"

    async with start(Fn("f", script, ON_X, retries=1)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", "caught boom") == await system.outcome(event_id)
        memo = system.app.calls[-1].memos[hash_id("bad")]
        assert {"error": {"message": "boom", "name": "RaisedError", "stack": "trace"}} == memo


async def test_a_step_that_forbids_retries_fails_at_once(start: StartSystem) -> None:
    def fail() -> None:
        raise RaisedError("never", no_retry=True)

    def script(_: Call) -> Steps:
        yield run("bad", fail)

    async with start(Fn("f", script, ON_X, retries=5)) as system:
        event_id = await system.send("test/x")
        status, output = await system.outcome(event_id)

        assert ("Failed", "never") == (status, output["message"])
        assert 2 == len(system.app.calls)


async def test_a_function_error_uses_up_its_attempts_and_becomes_the_output(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        raise RaisedError("broken")
        yield

    async with start(Fn("f", script, ON_X, retries=2)) as system:
        event_id = await system.send("test/x")

        error = {"code": "unknown", "message": "broken", "name": "RaisedError", "stack": None}
        assert ("Failed", error) == await system.outcome(event_id)
        assert [0, 1, 2] == [call.attempt for call in system.app.calls]


@pytest.mark.not_under(reason="counts calls, which see more memos where they are made later")
@pytest.mark.parametrize(("mode", "calls"), [("wait", 6), ("race", 9)])
async def test_a_group_of_three_and_one_step_after_it_take_this_many_calls(
    start: StartSystem, mode: str, calls: int
) -> None:
    race = mode == "race"

    def script(_: Call) -> Steps:
        results = yield [run(name, name.upper(), race=race) for name in "abc"]
        after = yield run("after", "!")
        return "".join(results) + after

    async with start(Fn("f", script, ON_X)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", "ABC!") == await system.outcome(event_id)
        assert calls == len(system.app.calls)


@pytest.mark.not_under(reason="counts calls, which see more memos where they are made later")
@pytest.mark.parametrize(("mode", "calls"), [("wait", 6), ("race", 9)])
async def test_a_group_of_four_at_the_end_takes_this_many_calls(start: StartSystem, mode: str, calls: int) -> None:
    race = mode == "race"

    def script(_: Call) -> Steps:
        return "".join((yield [run(name, name, race=race) for name in "abcd"]))

    async with start(Fn("f", script, ON_X)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", "abcd") == await system.outcome(event_id)
        assert calls == len(system.app.calls)


async def test_a_retried_step_of_a_group_holds_the_group_back(start: StartSystem) -> None:
    def flaky(call: Call) -> str:
        if call.attempt < 2:
            raise RaisedError("not yet")
        return "B"

    def script(call: Call) -> Steps:
        return "".join((yield [run("a", "A"), run("b", lambda: flaky(call))]))

    async with start(Fn("f", script, ON_X)) as system:
        event_id = await system.send("test/x")

        assert ("Completed", "AB") == await system.outcome(event_id)
        targets = [call.target for call in system.app.calls]
        assert [None, None] == [targets[0], targets[-1]]
        assert 3 == targets.count(hash_id("b"))


async def test_a_trigger_expression_decides_whether_the_function_starts(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        return "ran"
        yield

    triggers = [{"event": "test/x", "expression": "event.data.amount > 100"}]
    async with start(Fn("f", script, triggers)) as system:
        small = await system.send("test/x", {"amount": 99})
        large = await system.send("test/x", {"amount": 101})
        await system.idle()

        assert [] == await system.runs(small)
        assert ("Completed", "ran") == await system.outcome(large)


async def test_an_event_id_starts_a_function_once(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        return "ran"
        yield

    async with start(Fn("f", script, ON_X)) as system:
        first = await system.send("test/x", id="order-1")
        second = await system.send("test/x", id="order-1")
        await system.idle()

        assert ("Completed", "ran") == await system.outcome(first)
        assert [] == await system.runs(second)
        assert ["order-1", "order-1"] == [event["id"] for event in await system.events("test/x")]


async def test_the_failure_handler_gets_the_event_and_the_error(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        raise RaisedError("broken", no_retry=True)
        yield

    def handler(call: Call) -> Steps:
        return [call.event["data"]["error"]["message"], call.event["data"]["event"]["data"]]
        yield

    on_failure = [{"event": "inngest/function.failed", "expression": "event.data.function_id == 'app-f'"}]
    async with start(Fn("f", script, ON_X), Fn("f-failure", handler, on_failure)) as system:
        event_id = await system.send("test/x", {"n": 7})
        run = await system.run_of(event_id)
        (failed,) = await system.events("inngest/function.failed")
        (handled,) = await system.runs(failed["internal_id"])

        assert run["run_id"] == failed["id"]
        assert ("Completed", ["broken", {"n": 7}]) == (handled["status"], handled["output"])
        assert 1 == len(await system.events("inngest/function.finished"))


def unused(_: Call) -> Steps:
    yield run("never", None)


async def test_an_app_that_executes_a_step_again_and_nothing_else_fails_the_run_instead_of_stopping_it(
    start: StartSystem,
) -> None:
    def repeat(_: Call) -> Any:
        return reply(206, [{"op": "StepRun", "id": hash_id("a"), "name": "a", "displayName": "a", "data": 1}])

    async with start(Fn("loop", unused, triggers=[{"event": "test/loop"}])) as system:
        system.app.replies["loop"] = repeat
        status, output = await system.outcome(await system.send("test/loop"))

    assert ("Failed", 2) == (status, len(system.app.calls))
    assert "the app executed step 'a' again although it was given the result of it" in output["message"]


async def test_a_step_that_is_executed_again_beside_a_new_one_changes_nothing(start: StartSystem) -> None:
    def both(call: Call) -> Any:
        if hash_id("b") in call.memos:
            return reply(200, call.memos)
        step = {"op": "StepRun", "id": hash_id("a"), "name": "a", "displayName": "a", "data": len(call.memos)}
        plan = {"op": "StepPlanned", "id": hash_id("b"), "name": "b", "displayName": "b"}
        done = {"op": "StepRun", "id": hash_id("b"), "name": "b", "displayName": "b", "data": 2}
        return reply(206, [done] if call.target else [step, plan] if call.memos else [step])

    async with start(Fn("loop", unused, triggers=[{"event": "test/loop"}])) as system:
        system.app.replies["loop"] = both
        outcome = await system.outcome(await system.send("test/loop"))

    assert ("Completed", {hash_id("a"): {"data": 0}, hash_id("b"): {"data": 2}}) == outcome
