"""The REST API under `/v2`: lists of runs, their filters and pages, apps, invocations, errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepserve_core._signature import hash_signing_key
from stepserve_core._signing_key import strip_prefix
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.run_search import (
    Position,
    RunFilter,
    RunSearch,
    SearchInvalidError,
    read_cursor,
    write_cursor,
)
from stepserve_core.executor.store.database import open_database
from stepserve_core.executor.store.run_pages import RunPages
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio
Steps = Generator[Any, Any, Any]


def doubled(call: Call) -> Steps:
    number = yield run("read", call.event["data"]["n"])
    if number == 3:
        raise RaisedError("three is bad", no_retry=True)
    return {"doubled": 2 * number}


def napper(_: Call) -> Steps:
    yield sleep("nap", "1h")
    return "rested"


FUNCTIONS = (
    Fn("doubled", doubled, triggers=[{"event": "test/n"}]),
    Fn("napper", napper, triggers=[{"event": "test/nap"}]),
)


@asynccontextmanager
async def five_and_one(start: StartSystem) -> AsyncGenerator[System, None]:
    """Run `doubled` for 1 to 5, a second after each other, and let `napper` sleep."""
    clock = VirtualClock()
    async with start(*FUNCTIONS, clock=clock) as system:
        for number in range(1, 6):
            await system.send("test/n", {"n": number})
            await system.advance(1)
        await system.send("test/nap")
        await system.idle()
        yield system


async def listed(system: System, **query: Any) -> list[Any]:
    """Return what identifies the runs of a list: the number they doubled, an error, or a status."""
    answer = await system.http.get("/v2/runs", params={"includeOutput": "true", **query})

    assert 200 == answer.status_code, answer.text
    return [_short(one) for one in answer.json()["data"]]


def _short(one: dict[str, Any]) -> Any:
    output: Any = one.get("output")
    if one["status"] == "COMPLETED":
        return output["doubled"] // 2
    return output["message"] if output else one["status"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["RUNNING", 5, 4, "three is bad", 2, 1]),
        ({"order": "asc"}, [1, 2, "three is bad", 4, 5, "RUNNING"]),
        ({"status": "FAILED"}, ["three is bad"]),
        ({"status": "running,failed"}, ["RUNNING", "three is bad"]),
        ({"status": ["COMPLETED"], "limit": "2"}, [5, 4]),
        ({"status": "CANCELLED"}, []),
        ({"timeField": "ended_at"}, [5, 4, "three is bad", 2, 1]),
        ({"from": "2023-11-14T22:13:22Z", "until": "2023-11-14T22:13:24Z"}, [4, "three is bad"]),
        ({"appId": "app"}, ["RUNNING", 5, 4, "three is bad", 2, 1]),
        ({"appId": "app", "functionId": "napper"}, ["RUNNING"]),
        ({"appId": "app", "functionId": "app-doubled", "limit": "1"}, [5]),
        ({"appId": "other"}, []),
        ({"query": "event.data.n > 3"}, [5, 4]),
        ({"query": "output.doubled == 4\n\n  event.name == 'test/n'"}, [2]),
        ({"query": "error.message.contains('bad')"}, ["three is bad"]),
        ({"query": "event.data.n > 'x'"}, []),
    ],
)
async def test_lists_of_runs_are_filtered(start: StartSystem, query: dict[str, Any], expected: list[Any]) -> None:
    async with five_and_one(start) as system:
        found = await listed(system, **query)

    assert expected == found


async def test_lists_show_some_of_the_event_on_demand(start: StartSystem) -> None:
    async with five_and_one(start) as system:
        plain, shown = [
            (await system.http.get("/v2/runs", params={"order": "asc", "limit": "1", **query})).json()["data"][0]
            for query in ({}, {"includePreview": "true"})
        ]

    assert "preview" not in plain["trigger"]
    assert {**plain["trigger"], "preview": {"n": 1}} == shown["trigger"]


@pytest.mark.parametrize("query", [{}, {"query": "event.name.startsWith('test/')"}, {"order": "asc"}])
async def test_pages_follow_each_other_without_gaps_or_repeats(start: StartSystem, query: dict[str, str]) -> None:
    async with five_and_one(start) as system:
        whole = await listed(system, **query)
        pages: list[list[Any]] = []
        cursor = ""
        while cursor is not None:
            asked = {"limit": "4", "cursor": cursor, "includeOutput": "1", **query}
            answer = (await system.http.get("/v2/runs", params=asked)).json()
            pages.append([_short(one) for one in answer["data"]])
            cursor = answer["page"]["cursor"]

    assert [4, 2] == [len(page) for page in pages]
    assert whole == [one for page in pages for one in page]


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/v2/runs?status=GONE", 400, "invalid_request", "unknown status 'GONE'; there are QUEUED,"),
        ("/v2/runs?limit=0", 400, "invalid_request", "limit must be a number from 1 to 100"),
        ("/v2/runs?cursor=zzz", 400, "invalid_request", "'zzz' is not a cursor of this server"),
        ("/v2/runs?from=yesterday", 400, "invalid_request", "from: 'yesterday' is not a date"),
        ("/v2/runs?query=event.data.", 400, "invalid_request", ""),
        ("/v2/runs?query=async.data.x", 400, "invalid_request", "unknown variable 'async'"),
        ("/v2/runs?timeField=born_at", 400, "invalid_request", "timeField must be one of QUEUED_AT"),
        ("/v2/runs?functionId=x", 400, "invalid_request", "functionId needs appId"),
        ("/v2/runs/x", 400, "invalid_request", "'x' is not the id of a run"),
        ("/v2/runs/01HF7YAT000000000000000000", 404, "not_found", "there is no run"),
        ("/v2/apps/none", 404, "not_found", "there is no app 'none'"),
        ("/v2/apps/app/functions/none", 404, "not_found", "the app 'app' has no function 'none'"),
        ("/v2/partners", 501, "not_implemented", "this server has no GET /v2/partners"),
        ("/api/v2/webhooks/x", 501, "not_implemented", "this server has no GET /api/v2/webhooks/x"),
    ],
)
async def test_a_mistake_is_answered_with_its_reason(
    start: StartSystem, path: str, status: int, code: str, message: str
) -> None:
    async with start(*FUNCTIONS) as system:
        answer = await system.http.get(path)
        (error,) = answer.json()["errors"]

    assert (status, code) == (answer.status_code, error["code"])
    assert error["message"].startswith(message)


async def test_every_route_asks_for_the_key_where_there_is_one(start: StartSystem) -> None:
    cloud = {"kind": "cloud", "signing_key": "signkey-prod-0123456789abcdef", "event_keys": ["k"]}
    async with start(*FUNCTIONS, **cloud) as system:
        paths = ["/v2/runs", "/v2/apps", "/v2/keys/signing", "/v2/account", "/v2/partners"]
        refused = [await system.http.get(path, headers={"authorization": "Bearer no"}) for path in paths]
        let_in = await system.http.get("/v2/keys/events")

    assert [(401, "unauthorized")] * 5 == [(one.status_code, one.json()["errors"][0]["code"]) for one in refused]
    assert [{"key": "k"}] == let_in.json()["data"]


async def test_who_shows_the_hash_of_the_signing_key_is_not_told_the_key(start: StartSystem) -> None:
    main, fallback = "signkey-prod-0123456789abcdef", "signkey-prod-fedcba9876543210"
    cloud = {"kind": "cloud", "signing_key": main, "signing_key_fallback": fallback, "event_keys": ["k"]}
    hashes = [f"signkey-prod-{hash_signing_key(key)}" for key in (main, fallback)]
    async with start(*FUNCTIONS, **cloud) as system:
        told = []
        for shown in (main, strip_prefix(main), hashes[0], strip_prefix(hashes[1]), fallback):
            answer = await system.http.get("/v2/keys/signing", headers={"authorization": f"Bearer {shown}"})
            told.append([one["key"] for one in answer.json()["data"]])

    assert [[main, hashes[1]], [main, hashes[1]], hashes, hashes, [hashes[0], fallback]] == told


async def test_a_run_is_shown_and_cancelled_once(start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        event_id = await system.send("test/nap")
        await system.idle()
        (before,) = (await system.http.get(f"/v2/events/{event_id}/runs")).json()["data"]
        cancels = [await system.http.post(f"/v2/runs/{before['id']}/cancel") for _ in range(2)]
        after = (await system.http.get(f"/v2/runs/{before['id']}")).json()["data"]

    assert ("RUNNING", "app-napper", event_id) == (
        before["status"],
        before["function"]["slug"],
        before["trigger"]["eventId"],
    )
    assert [200, 409] == [one.status_code for one in cancels]
    assert "CANCELLED" == after["status"]


async def test_apps_and_functions_are_found_by_name_and_by_id(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        (app,) = (await system.http.get("/v2/apps")).json()["data"]
        by_id = (await system.http.get(f"/v2/apps/{app['id']}")).json()["data"]
        functions = (await system.http.get("/v2/apps/app/functions")).json()["data"]
        one = (await system.http.get("/v2/apps/app/functions/napper")).json()["data"]

    assert ("app", app) == (app["name"], by_id)
    assert ["app-doubled", "app-napper"] == [function["slug"] for function in functions]
    assert [{"event": "test/nap"}] == one["triggers"]


async def test_a_function_is_invoked_once_for_an_idempotency_key(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        url, body = "/v2/apps/app/functions/doubled/invoke", {"data": {"n": 21}, "idempotencyKey": "a"}
        first = await system.http.post(url, json=body)
        again = await system.http.post(url, json=body)
        await system.idle()
        shown = (await system.http.get(f"/v2/runs/{first.json()['data']['runId']}")).json()["data"]

    assert (200, 409) == (first.status_code, again.status_code)
    assert first.json()["data"] == again.json()["data"]
    assert {"doubled": 42} == shown["output"]


async def test_one_event_is_sent(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        good = await system.http.post("/v2/events", json={"name": "test/n", "data": {"n": 1}})
        bad = await system.http.post("/v2/events", json={"name": "inngest/x"})
        outcome = await system.outcome(good.json()["data"]["eventId"])

    assert ("Completed", {"doubled": 2}) == outcome
    assert (400, "invalid_event") == (bad.status_code, bad.json()["errors"][0]["code"])


def test_a_cursor_comes_back_as_it_was() -> None:
    position = Position(1_700_000_000.123456, "01HF7YAT000000000000000000")

    assert position == read_cursor(write_cursor(position))


@pytest.mark.parametrize("text", ["x", "e30=", "WzFd", "é"])
def test_a_foreign_cursor_is_refused(text: str) -> None:
    with pytest.raises(SearchInvalidError, match="not a cursor"):
        read_cursor(text)


def test_a_search_of_empty_lines_is_none() -> None:
    assert not RunSearch(" \n\n")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(), "runs_queued"),
        (RunFilter(since=1.0, until=2.0, newest_first=False), "runs_queued"),
        (RunFilter(statuses=("Failed",)), "runs_status"),
        (RunFilter(statuses=("Running", "Scheduled")), "runs_status"),
        (RunFilter(function_ids=("f",)), "runs_function"),
        (RunFilter(function_ids=("f", "g"), statuses=("Completed", "Failed")), "runs_function"),
        (RunFilter(time_field="started_at"), "runs_started"),
        (RunFilter(time_field="ended_at", statuses=("Failed",)), "runs_ended"),
    ],
)
def test_a_page_is_seeks_in_an_index(tmp_path: Any, wanted: RunFilter, index: str) -> None:
    connection = open_database(str(tmp_path / "runs.db"))
    plans: list[str] = []

    class Explaining:
        def execute(self, statement: str, values: Any) -> Any:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(row[3] for row in rows)
            return connection.execute(statement, values)

    explaining: Any = Explaining()
    RunPages(explaining).page(wanted, Position(1.0, "01HF7YAT000000000000000000"), 10)
    RunPages(explaining).count(wanted)
    connection.close()

    lines = {plan for plan in plans if " runs " in f"{plan} "}
    assert lines
    assert [] == [line for line in lines if f"INDEX {index}" not in line]
    assert [] == [plan for plan in plans if "TEMP B-TREE" in plan]


@pytest.mark.parametrize("data", [[], [1], "", 0, False])
async def test_an_invocation_with_data_that_is_no_object_is_refused(start: StartSystem, data: Any) -> None:
    async with start(*FUNCTIONS) as system:
        answer = await system.http.post("/v2/apps/app/functions/doubled/invoke", json={"data": data})

    (error,) = answer.json()["errors"]
    assert (400, "invalid_request") == (answer.status_code, error["code"])
    assert "data must be an object" in error["message"]
