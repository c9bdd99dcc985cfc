"""Metadata and scores, from steps and from outside, and where they are shown."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve import Function, Inngest
from stepserve_core.errors import ServerAPIError
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, run
from tests.executor.sdk_system import sdk_system

pytestmark = pytest.mark.anyio

ON_X = [{"event": "test/x"}]
MISSING = "01HF7YAT00MFRHYGNWQVWXYPX9"


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_a_step_says_about_itself_is_shown_with_it(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        step = getattr(ctx.step, "_inner", ctx.step)

        def ask() -> str:
            step.add_metadata("tokens", {"in": 3})
            step.add_metadata("tokens", {"out": 5})
            step.add_score("relevance", 0.5)
            step.add_score("safe", True)
            return "answer"

        await ctx.step.run("ask", ask)
        return await ctx.step.run("other", lambda: "done")

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body)]

    async with sdk_system(make) as system:
        run = await system.run_of(await system.send("shop/order"))
        await system.client.add_score(run["run_id"], "stars", 4)
        await system.client.add_metadata(run["run_id"], "review", {"by": "Ann"})
        with pytest.raises(ServerAPIError, match="404 Run or step not found"):
            await system.client.add_score(MISSING, "stars", 4)
        trace = await system.trace(run["run_id"])

    first, second, _ = trace["steps"]
    assert {
        "inngest.score": {"relevance": {"value": 0.5}, "safe": {"value": True}},
        "userland.tokens": {"in": 3, "out": 5},
    } == first["metadata"]
    assert "metadata" not in second
    assert {"inngest.score": {"stars": {"value": 4}}, "userland.review": {"by": "Ann"}} == trace["metadata"]


def fine(_: Call) -> Generator[Any, Any, Any]:
    return "fine"
    yield


@pytest.mark.parametrize(
    "entries",
    [
        "none",
        [{"kind": "", "values": {}}],
        [{"kind": "a", "values": [1]}],
        [{"kind": "a", "op": "delete", "values": {}}],
        [{"kind": "a", "values": {"x": "y" * 70_000}}],
    ],
)
async def test_metadata_that_cannot_be_kept_never_fails_the_run(start: StartSystem, entries: Any) -> None:
    async with start(Fn("f", fine, ON_X)) as system:

        def script(call: Call) -> Any:
            step = {"op": "StepRun", "id": hash_id("a"), "displayName": "a", "data": 1, "metadata": entries}
            return reply(200, "ok") if call.memos else reply(206, [step])

        system.app.replies["f"] = script
        run = await system.run_of(await system.send("test/x"))

        assert ("Completed", "ok") == (run["status"], run["output"])
        assert "metadata" not in (await system.trace(run["run_id"]))["steps"][0]


async def test_metadata_from_outside_may_name_a_step(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:

        def script(call: Call) -> Any:
            step = {"op": "StepRun", "id": hash_id("a"), "displayName": "a", "data": 1}
            return reply(200, "ok") if call.memos else reply(206, [step])

        system.app.replies["f"] = script
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        path = f"/v1/runs/{run_id}/metadata"
        for step_id, kind in (("a", "by-name"), (hash_id("a"), "by-hash")):
            body = {"target": {"step_id": step_id}, "metadata": [{"kind": kind, "op": "merge", "values": {"n": 1}}]}
            assert 200 == (await system.http.post(path, json=body)).status_code
        unknown = {"target": {"step_id": "b"}, "metadata": [{"kind": "k", "values": {}}]}

        assert 404 == (await system.http.post(path, json=unknown)).status_code
        assert {"by-hash", "by-name"} == set((await system.trace(run_id))["steps"][0]["metadata"])


@pytest.mark.parametrize(
    ("run_id", "body", "status"),
    [
        ("nonsense", {"metadata": []}, 400),
        (MISSING, {"metadata": [{"kind": "a", "values": {}}]}, 404),
        (MISSING, {"metadata": [{"kind": "a", "values": 1}]}, 400),
        (MISSING, {"target": {}}, 400),
        (MISSING, [], 400),
    ],
)
async def test_metadata_from_outside_that_cannot_be_taken_is_refused(
    start: StartSystem, run_id: str, body: Any, status: int
) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        assert status == (await system.http.post(f"/v1/runs/{run_id}/metadata", json=body)).status_code


async def test_a_run_has_a_limit_of_metadata(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        path = f"/v1/runs/{run_id}/metadata"

        async def add(kind: str, values: dict[str, Any]) -> int:
            entries = [{"kind": kind, "values": values}]
            return (await system.http.post(path, json={"metadata": entries})).status_code

        assert 200 == await add("a", {"x": "y" * 600_000})
        assert 413 == await add("b", {"x": "y" * 600_000})
        assert 200 == await add("a", {"x": "z" * 600_000})  # replaces what is there


def stepper(_: Call) -> Generator[Any, Any, Any]:
    return (yield run("a", 1))


async def test_the_names_of_metadata_count_for_its_limit(start: StartSystem) -> None:
    async with start(Fn("f", stepper, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        entries = [{"kind": f"{n:04}" + "k" * 246, "values": {}} for n in range(300)]
        body = {"target": {"step_id": "a"}, "metadata": entries}

        assert 413 == (await system.http.post(f"/v1/runs/{run_id}/metadata", json=body)).status_code
        body["metadata"] = entries[:250]
        assert 200 == (await system.http.post(f"/v1/runs/{run_id}/metadata", json=body)).status_code


@pytest.mark.parametrize(("levels", "status"), [(397, 200), (398, 400)])
async def test_metadata_is_nested_as_deep_as_is_said_and_no_deeper(
    start: StartSystem, levels: int, status: int
) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        nested = "[" * levels + "]" * levels
        body = f'{{"metadata":[{{"kind":"a","values":{{"x":{nested}}}}}]}}'
        answer = await system.http.post(f"/v1/runs/{run_id}/metadata", content=body)
        trace = await system.http.get(f"/v2/runs/{run_id}/trace")

    assert (status, 200) == (answer.status_code, trace.status_code)
    assert ("metadata is nested deeper than 400 levels" in answer.text) == (status == 400)
    assert (nested in trace.text) == (status == 200)
