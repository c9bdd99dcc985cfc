"""Runs under `/v2`: their tree of spans, their scores, and pages of what an event started."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, run

pytestmark = pytest.mark.anyio
Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]
MISSING = "01HF7YAT00MFRHYGNWQVWXYPX9"


def fetch(_: Call) -> Steps:
    tries = yield run("read", 1)
    return tries


def flaky(call: Call) -> Steps:
    def act() -> int:
        if call.attempt == 0:
            raise RaisedError("once")
        return 2

    return (yield run("try", act))


async def test_the_trace_is_a_tree_of_spans(start: StartSystem) -> None:
    async with start(Fn("fetch", fetch, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        trace = await system.trace(run_id)

    root = trace["rootSpan"]
    names = ["name", "status", "spanId", "isRoot"]
    assert run_id == trace["runId"]
    assert ["Run", "COMPLETED", run_id, True] == [root[name] for name in names]
    read, end = root["children"]
    assert ("read", "COMPLETED", "RUN", run_id) == (read["name"], read["status"], read["stepOp"], read["parentSpanId"])
    assert trace["steps"][0]["id"] == read["stepId"]
    assert {"queuedAt", "startedAt", "endedAt", "durationMs", "attempts", "children"} < read.keys()
    assert ("Finalization", "FINALIZATION", []) == (end["name"], end["stepType"], end["children"])


async def test_attempts_are_children_of_their_step(start: StartSystem) -> None:
    async with start(Fn("flaky", flaky, ON_X, retries=1)) as system:
        trace = await system.trace((await system.run_of(await system.send("test/x")))["run_id"])

    step = trace["rootSpan"]["children"][0]
    assert [("Attempt 1", "FAILED"), ("Attempt 2", "COMPLETED")] == [
        (child["name"], child["status"]) for child in step["children"]
    ]
    assert {step["spanId"]} == {child["parentSpanId"] for child in step["children"]}


async def test_what_an_event_started_comes_in_pages(start: StartSystem) -> None:
    functions = [Fn(f"f{number}", fetch, ON_X) for number in range(5)]
    async with start(*functions) as system:
        event_id = await system.send("test/x")
        await system.idle()
        path, cursor, pages = f"/v2/events/{event_id}/runs", "", list[Any]()
        while cursor is not None:
            answer = (await system.http.get(path, params={"limit": "2", "cursor": cursor})).json()
            pages.append(answer["data"])
            cursor = answer["page"]["cursor"]
        whole = (await system.http.get(path, params={"includeOutput": "true"})).json()

    assert [2, 2, 1] == [len(page) for page in pages]
    assert [one["id"] for one in whole["data"]] == [one["id"] for page in pages for one in page]
    assert [1] * 5 == [one["output"] for one in whole["data"]]
    assert {"cursor": None, "hasMore": False, "limit": 20} == whole["page"]
    assert not [one for page in pages for one in page if "output" in one]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "101"}, {"cursor": "zzz"}])
async def test_a_page_that_cannot_be_is_refused(start: StartSystem, query: dict[str, str]) -> None:
    async with start() as system:
        answer = await system.http.get(f"/v2/events/{MISSING}/runs", params=query)

    assert (400, "invalid_request") == (answer.status_code, answer.json()["errors"][0]["code"])


async def test_runs_and_their_steps_are_scored(start: StartSystem) -> None:
    async with start(Fn("fetch", fetch, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        scores: list[dict[str, Any]] = [
            {"name": "stars", "value": 3},
            {"name": "stars", "value": 4},
            {"name": "safe", "value": True},
            {"name": "relevance", "value": 0.5, "stepId": "read"},
        ]
        answers = [await system.http.post(f"/v2/runs/{run_id}/scores", json=score) for score in scores]
        trace = await system.trace(run_id)

    assert [(200, {"runId": run_id})] * 4 == [(one.status_code, one.json()["data"]) for one in answers]
    assert {"inngest.score": {"stars": {"value": 4}, "safe": {"value": True}}} == trace["metadata"]
    assert {"inngest.score": {"relevance": {"value": 0.5}}} == trace["steps"][0]["metadata"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"name": "", "value": 1}, 400, "the name of a score has 1 to 128 bytes"),
        ({"name": "it's", "value": 1}, 400, "neither control characters nor quotes"),
        ({"name": "a", "value": "high"}, 400, "the body is no score"),
        ({"name": "a", "value": 10**400}, 400, "the body is no score"),
        ({"name": "a"}, 400, "the body is no score"),
        ([], 400, "the body is no score"),
        ({"name": "a", "value": 1}, 404, f"there is no run {MISSING}"),
        ({"name": "a" * 128, "value": 1, "stepId": "b" * 70_000}, 413, "larger than 65536 bytes"),
    ],
)
async def test_a_score_that_cannot_be_kept_is_refused(start: StartSystem, body: Any, status: int, message: str) -> None:
    async with start() as system:
        answer = await system.http.post(f"/v2/runs/{MISSING}/scores", json=body)

    assert status == answer.status_code
    assert message in answer.json()["errors"][0]["message"]
