"""Running again: from the start, from a step, with edited input."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve import Function, Inngest
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, run, served, sleep
from tests.executor.sdk_system import sdk_system
from tests.executor.system import System
from tests.executor.test_gateway import Site

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


async def rerun(system: System, run_id: str, step: str | None = None, **given: Any) -> dict[str, Any]:
    """Repeat a run; return the new one when nothing is left to do."""
    body = {} if step is None else {"fromStep": {"stepId": step, **given}}
    answer = await system.http.post(f"/v2/runs/{run_id}/rerun", json=body)

    assert 200 == answer.status_code, answer.text
    await system.idle()
    found: dict[str, Any] = await system.get(f"/v1/runs/{answer.json()['data']['runId']}")
    return found


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_run_is_repeated_from_a_step_with_other_arguments(colour: str) -> None:
    done: list[str] = []

    def note(name: str, value: Any) -> Any:
        done.append(name)
        return value

    async def body(ctx: Any) -> Any:
        first = await ctx.step.run("first", note, "first", ctx.event.data["n"])
        second = await ctx.step.ai.wrap("second", note, "second", first + 1)
        return [first, second, await ctx.step.run("third", note, "third", second * 2)]

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body)]

    async with sdk_system(make) as system:
        original = await system.run_of(await system.send("shop/order", {"n": 1}))
        done.clear()
        whole = await rerun(system, original["run_id"])
        assert (["first", "second", "third"], [1, 2, 4]) == (done, whole["output"])

        done.clear()
        part = await rerun(system, original["run_id"], "second")
        assert (["second", "third"], [1, 2, 4]) == (done, part["output"])

        done.clear()
        edited = await rerun(system, original["run_id"], "second", input=["edited", 10])
        assert (["edited", "third"], [1, 10, 20]) == (done, edited["output"])

        steps = (await system.trace(edited["run_id"]))["steps"]
        assert [{"input": ["edited", 10], "type": "step.ai.wrap"}, {"input": ["third", 20]}] == [
            step["detail"] for step in steps[1:3]
        ]
        again = await rerun(system, edited["run_id"], hash_id("third"), input=["third", 7])
        assert [1, 10, 7] == again["output"]
        assert {original["run_id"]} == {found["original_run_id"] for found in (whole, part, edited, again)}
        assert 5 == len(await system.runs(original["event_id"]))


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_fetch_is_repeated_with_another_body(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        return (await ctx.step.fetch("page", ctx.event.data["url"], method="POST", body="old")).body

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body)]

    site = Site(page=(200, {}, b"ok"))
    async with served(site) as origin, sdk_system(make) as system:
        original = await system.run_of(await system.send("shop/order", {"url": f"{origin}/page"}))
        await rerun(system, original["run_id"], "page", input=["new"])

    assert [b"old", b"new"] == [sent for _, _, _, sent in site.requests]


def twice(_: Call) -> Steps:
    first = yield run("a", 1)
    yield sleep("nap", "1h")
    second, third = yield [run("b", 2), run("c", 3)]
    return [first, second, third]


async def test_what_finished_before_the_step_is_taken_over(start: StartSystem) -> None:
    async with start(Fn("f", twice, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(3600)
        original = (await system.runs(event_id))[0]
        system.app.calls.clear()
        answer = await system.http.post(
            f"/v2/runs/{original['run_id']}/rerun", json={"fromStep": {"stepId": "c", "input": []}}
        )
        new_id = answer.json()["data"]["runId"]
        await system.idle()
        first = system.app.calls[0]

        assert (hash_id("c"), {"input": []}) == (first.target, first.memos[hash_id("c")])
        assert [hash_id("a"), hash_id("nap")] == first.body["ctx"]["stack"]["stack"][:2]
        assert hash_id("c") not in first.body["ctx"]["stack"]["stack"]
        assert "Completed" == (await system.get(f"/v1/runs/{new_id}"))["status"]


async def test_a_run_is_repeated_from_a_sleep(start: StartSystem) -> None:
    async with start(Fn("f", twice, ON_X), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(3600)
        original = (await system.runs(event_id))[0]
        sleeping = await rerun(system, original["run_id"], "nap")

        assert "Running" == sleeping["status"]
        await system.advance(3600)
        assert [1, 2, 3] == (await system.get(f"/v1/runs/{sleeping['run_id']}"))["output"]


async def test_a_repeated_run_survives_a_restart_with_its_input(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(Fn("f", twice, ON_X), clock=clock) as system:
        event_id = await system.send("test/x")
        await system.idle()
        await system.advance(3600)
        original = (await system.runs(event_id))[0]
        await system.executor.loop.stop(0)
        new_id = await system.executor.rerun(original["run_id"], "b", b"[5]")
        state = (await system.http.get(f"/v0/runs/{new_id}/actions")).json()
    async with start(Fn("f", twice, ON_X), clock=clock) as system:
        await system.idle()

        assert {"input": [5]} == state[hash_id("b")]
        assert {"input": [5]} == system.app.calls[0].memos[hash_id("b")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"fromStep": {"stepId": "nobody"}}, 404, "step_not_found"),
        ({"fromStep": {"stepId": "same"}}, 400, "step_ambiguous"),
        ({"fromStep": {"stepId": "a", "input": {}}}, 400, "invalid_request"),
        ({"fromStep": {}}, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_repeated_is_refused(start: StartSystem, body: Any, status: int, code: str) -> None:
    def script(_: Call) -> Steps:
        yield run("a", 1)
        one, two = run("same", 1), run("same:1", 2)
        two.name = one.name = "same"
        yield [one, two]

    async with start(Fn("f", script, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        await system.executor.store.write(
            lambda tables: tables.steps._execute("UPDATE steps SET name = 'same' WHERE name = 'same:1'")
        )
        answer = await system.http.post(f"/v2/runs/{run_id}/rerun", json=body)

        assert (status, code) == (answer.status_code, answer.json()["errors"][0]["code"])


async def test_an_unknown_run_is_not_repeated(start: StartSystem) -> None:
    async with start() as system:
        assert 404 == (await system.http.post("/v2/runs/01HF7YAT00MFRHYGNWQVWXYPX9/rerun")).status_code


async def test_a_run_of_a_schedule_is_repeated(start: StartSystem) -> None:
    def say_when(call: Call) -> Steps:
        return call.event["data"]["scheduledAt"]
        yield

    async with start(Fn("f", say_when, [{"cron": "*/5 * * * *"}]), clock=VirtualClock(1_700_000_000.0)) as system:
        await system.advance(100)
        (tick,) = await system.events("inngest/scheduled.timer")
        (original,) = await system.runs(tick["internal_id"])
        again = await rerun(system, original["run_id"])

        assert (original["output"], original["cron"]) == (again["output"], again["cron"])
