"""GraphQL: what SDK tests and dashboards ask for, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from stepserve_core.executor.api.graphql import costs
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.run_search import RunFilter
from stepserve_core.executor.store.run_pages import RunPages
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, RawApp, hash_id, reply, run, served, wait
from tests.executor.system import System

pytestmark = pytest.mark.anyio
Steps = Generator[Any, Any, Any]


def two_steps(call: Call) -> Steps:
    first = yield run("first", call.event["data"]["n"])
    second = yield run("second", first + 1)
    return {"sum": first + second}


def failing(_: Call) -> Steps:
    yield run("fine", 1)
    raise RaisedError("no good", no_retry=True)


def bad_step(_: Call) -> Steps:
    def act() -> None:
        raise RaisedError("bad step", no_retry=True)

    yield run("bad", act)


def waiter(_: Call) -> Steps:
    yield wait("wait", "test/never", "1h")
    return None


FUNCTIONS = (
    Fn("two", two_steps, triggers=[{"event": "test/two", "expression": "event.data.n > 0"}]),
    Fn("failing", failing, triggers=[{"event": "test/failing"}]),
    Fn("bad", bad_step, triggers=[{"event": "test/bad"}], retries=0),
    Fn("waiter", waiter, triggers=[{"event": "test/wait"}], options={"concurrency": [{"limit": 3, "scope": "fn"}]}),
)


async def ask(system: System, query: str, **variables: Any) -> dict[str, Any]:
    """Return the data of an answer without errors."""
    answer = await system.http.post("/v0/gql", json={"query": query, "variables": variables})

    assert (200, None) == (answer.status_code, answer.json().get("errors")), answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def refused(system: System, query: str, **variables: Any) -> str:
    """Return the message of the one error of an answer."""
    answer = await system.http.post("/v0/gql", json={"query": query, "variables": variables})
    (error,) = answer.json()["errors"]

    assert 200 == answer.status_code
    message: str = error["message"]
    return message


async def run_id_of(system: System, name: str, data: dict[str, Any] | None = None) -> str:
    """Send an event and return the id of its run, when nothing is left to do."""
    run_id: str = (await system.run_of(await system.send(name, data)))["run_id"]
    return run_id


OUTPUT = "query($id: String!) { runTraceSpanOutputByID(outputID: $id) { data input error { message name stack } } }"


async def outputs(system: System, run_id: str) -> list[tuple[str, Any]]:
    """Return (name, output) of the steps of a run, in the older form of the tree."""
    query = "query($id: String!) { run(runID: $id) { trace { childrenSpans { name outputID } } } }"
    found = await ask(system, query, id=run_id)
    spans = found["run"]["trace"]["childrenSpans"]
    return [
        (span["name"], (await ask(system, OUTPUT, id=span["outputID"]))["runTraceSpanOutputByID"]) for span in spans
    ]


async def test_the_tree_names_steps_and_leads_to_their_outputs(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        found = await outputs(system, await run_id_of(system, "test/two", {"n": 1}))

    assert [
        ("first", {"data": "1", "input": None, "error": None}),
        ("second", {"data": "2", "input": None, "error": None}),
        ("function success", {"data": '{"sum":3}', "input": None, "error": None}),
    ] == found


async def test_the_error_of_a_step_and_of_the_function_are_shown(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        found = await outputs(system, await run_id_of(system, "test/bad"))

    assert ["bad", "function error"] == [name for name, _ in found]
    assert ["bad step", "bad step"] == [output["error"]["message"] for _, output in found]
    assert [None, None] == [output["data"] for _, output in found]


async def test_a_run_its_output_and_its_trigger_come_in_one_answer(start: StartSystem) -> None:
    query = """query($id: String!) {
      run(runID: $id) { output status eventName function { slug } app { name } isBatch }
      runTrigger(runID: $id) { payloads IDs eventName isBatch }
    }"""
    async with start(*FUNCTIONS) as system:
        event_id = await system.send("test/two", {"n": 4})
        run_id = (await system.run_of(event_id))["run_id"]
        found = await ask(system, query, id=run_id)

    assert {
        "output": '{"sum":9}',
        "status": "COMPLETED",
        "eventName": "test/two",
        "function": {"slug": "app-two"},
        "app": {"name": "app"},
        "isBatch": False,
    } == found["run"]
    assert (event_id, "test/two") == (found["runTrigger"]["IDs"][0], found["runTrigger"]["eventName"])
    assert '"n":4' in found["runTrigger"]["payloads"][0]


async def test_the_output_of_a_failed_run_is_the_error(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        run_id = await run_id_of(system, "test/failing")
        found = await ask(system, "query($id: String!) { run(runID: $id) { output status } }", id=run_id)

    assert "FAILED" == found["run"]["status"]
    assert '"message":"no good"' in found["run"]["output"]


async def test_an_event_knows_its_runs_in_both_forms(start: StartSystem) -> None:
    query = """query($id: ID!, $ulid: ULID!) {
      event(query: {eventId: $id}) { name raw totalRuns pendingRuns functionRuns { id status event { id } } }
      eventV2(id: $ulid) { name runs { id status } }
    }"""
    async with start(*FUNCTIONS) as system:
        event_id = await system.send("test/two", {"n": 1})
        run_id = (await system.run_of(event_id))["run_id"]
        found = await ask(system, query, id=event_id, ulid=event_id)

    assert [{"id": run_id, "status": "COMPLETED", "event": {"id": event_id}}] == found["event"]["functionRuns"]
    assert (1, 0) == (found["event"]["totalRuns"], found["event"]["pendingRuns"])
    assert {"name": "test/two", "runs": [{"id": run_id, "status": "COMPLETED"}]} == found["eventV2"]


RUNS = """query($first: Int!, $after: String, $filter: RunsFilterV2!) {
  runs(first: $first, after: $after, orderBy: [{field: QUEUED_AT, direction: DESC}], filter: $filter) {
    edges { node { id status eventName } } pageInfo { hasNextPage endCursor } totalCount
  }
}"""


async def test_runs_come_in_pages_with_filters_and_a_total(start: StartSystem) -> None:
    everything = {"from": "2000-01-01T00:00:00Z"}
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        for number in range(3):
            await system.send("test/two", {"n": number + 1})
            await system.advance(1)
        await run_id_of(system, "test/failing")
        first = (await ask(system, RUNS, first=3, filter=everything))["runs"]
        cursor = first["pageInfo"]["endCursor"]
        second = (await ask(system, RUNS, first=3, after=cursor, filter=everything))["runs"]
        failed = (await ask(system, RUNS, first=3, filter={**everything, "status": ["FAILED"]}))["runs"]
        searched = (await ask(system, RUNS, first=9, filter={**everything, "query": "event.data.n == 2"}))["runs"]
        wrong = await refused(system, RUNS, first=3, filter={**everything, "query": "event..x"})

    assert [3, 1] == [len(first["edges"]), len(second["edges"])]
    assert [True, False] == [first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]]
    assert (4, 1, "FAILED") == (first["totalCount"], failed["totalCount"], failed["edges"][0]["node"]["status"])
    assert ["test/two"] == [edge["node"]["eventName"] for edge in searched["edges"]]
    assert "event..x" in wrong or "expected" in wrong


async def test_events_come_in_pages_without_internal_ones(start: StartSystem) -> None:
    query = """query($filter: EventsFilter!) { eventsV2(first: 10, filter: $filter) { edges { node { name } } } }"""
    async with start(*FUNCTIONS) as system:
        await run_id_of(system, "test/two", {"n": 1})
        await run_id_of(system, "test/two", {"n": 2})
        plain = await ask(system, query, filter={"from": "2000-01-01T00:00:00Z"})
        all_of_them = await ask(system, query, filter={"from": "2000-01-01T00:00:00Z", "includeInternalEvents": True})
        searched = await ask(system, query, filter={"from": "2000-01-01T00:00:00Z", "query": "event.data.n == 2"})

    names = [
        sorted(edge["node"]["name"] for edge in found["eventsV2"]["edges"]) for found in (plain, all_of_them, searched)
    ]
    assert [
        ["test/two", "test/two"],
        ["inngest/function.finished", "inngest/function.finished", "test/two", "test/two"],
        ["test/two"],
    ] == names


async def test_functions_and_apps_are_described(start: StartSystem) -> None:
    query = """{
      apps { name sdkLanguage functionCount functions { slug } }
      functionBySlug(query: {functionSlug: "app-waiter"}) {
        name configuration { concurrency { scope limit { value } } retries { value isDefault } }
        triggers { type value condition }
      }
      functions { slug triggers { type value condition } }
    }"""
    async with start(*FUNCTIONS) as system:
        found = await ask(system, query)

    assert ("app", "raw", 4) == tuple(found["apps"][0][key] for key in ("name", "sdkLanguage", "functionCount"))
    assert {
        "concurrency": [{"scope": "FUNCTION", "limit": {"value": 3}}],
        "retries": {"value": 4, "isDefault": True},
    } == found["functionBySlug"]["configuration"]
    (two,) = [one for one in found["functions"] if one["slug"] == "app-two"]
    assert [{"type": "EVENT", "value": "test/two", "condition": "event.data.n > 0"}] == two["triggers"]


async def test_a_function_is_invoked_and_a_run_is_cancelled(start: StartSystem) -> None:
    invoke = """mutation($data: Map) { invokeFunction(functionSlug: "app-waiter", data: $data) }"""
    cancel = "mutation($id: ULID!) { cancelRun(runID: $id) { id status } }"
    async with start(*FUNCTIONS) as system:
        done = await ask(system, invoke, data={"a": 1})
        await system.idle()
        listed = await ask(system, RUNS, first=5, filter={"from": "2000-01-01T00:00:00Z", "status": ["RUNNING"]})
        run_id = listed["runs"]["edges"][0]["node"]["id"]
        cancelled = await ask(system, cancel, id=run_id)
        unknown = await refused(system, """mutation { invokeFunction(functionSlug: "none") }""")

    assert {"invokeFunction": True} == done
    assert {"id": run_id, "status": "CANCELLED"} == cancelled["cancelRun"]
    assert "function none not found" == unknown


async def test_an_app_is_removed_and_synced_again(start: StartSystem) -> None:
    other = RawApp([Fn("late", two_steps, triggers=[{"event": "test/late"}])], name="other")
    create = "mutation($url: String!) { createApp(input: {url: $url}) { name error functionCount } }"
    async with start(*FUNCTIONS) as system, served(other) as origin:
        other.url, other.api = f"{origin}/api/inngest", system.app.api
        created = await ask(system, create, url=other.url)
        removed = await ask(system, """mutation { deleteAppByName(name: "other") }""")
        none_left = await ask(system, """mutation { deleteAppByName(name: "other") }""")
        functions = await ask(system, "{ functions { slug } }")
        dead = await ask(system, create, url="http://127.0.0.1:9/api/inngest")

    assert {"name": "other", "error": None, "functionCount": 1} == created["createApp"]
    assert [True, False] == [removed["deleteAppByName"], none_left["deleteAppByName"]]
    assert "app-two" in [one["slug"] for one in functions["functions"]]
    assert "other-late" not in [one["slug"] for one in functions["functions"]]
    assert {"name": "", "error": "unreachable", "functionCount": 0} == dead["createApp"]


DEEP = "{ apps " + "{ functions { app " * 8 + "{ name }" + " } }" * 8 + " }"


async def test_a_query_that_asks_for_too_much_is_answered_with_an_error(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "MOST_UNITS", 20)
    async with start(*FUNCTIONS) as system:
        query = "{ apps { functions { app { functions { app { functions { id } } } } } } }"
        answer = (await system.http.post("/v0/gql", json={"query": query})).json()

    assert {"the query asks for more than 20 objects; ask for fewer at once"} == {
        error["message"] for error in answer["errors"]
    }


DOUBLING = "{ apps { ...F0 } } " + " ".join(
    f"fragment F{number} on App {{ ...F{number + 1} ...F{number + 1} }}" for number in range(60)
)


async def test_fragments_that_spread_each_other_twice_are_walked_once(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        found = await ask(system, DOUBLING + " fragment F60 on App { name }")

    assert {"apps": [{"name": "app"}]} == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'"),
        ("{ apps { ", "Syntax Error"),
        (DEEP, "the query is nested deeper than 15 fields"),
        ("{ " + "apps { id } " * 2000 + "}", "Syntax Error: Document contains more than 5000 tokens"),
        ("""{ run(runID: "x") { id } }""", "run not found: x"),
        ("""{ event(query: {eventId: "x"}) { id } }""", "event not found"),
        ("""{ runTraceSpanOutputByID(outputID: "x") { data } }""", "no output found"),
    ],
)
async def test_a_wrong_query_is_answered_with_an_error(start: StartSystem, query: str, message: str) -> None:
    async with start(*FUNCTIONS) as system:
        found = await refused(system, query)

    assert found.startswith(message)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": 5}', b'{"query":"{apps{id}}","variables":[]}'])
async def test_what_is_no_request_is_refused(start: StartSystem, body: bytes) -> None:
    async with start(*FUNCTIONS) as system:
        answer = await system.http.post("/v0/gql", content=body)

    assert 400 == answer.status_code
    assert answer.json()["error"].startswith("the body is not a GraphQL request")


async def test_the_key_is_asked_for_where_there_is_one(start: StartSystem) -> None:
    cloud = {"kind": "cloud", "signing_key": "signkey-prod-0123456789abcdef", "event_keys": ["k"]}
    async with start(*FUNCTIONS, **cloud) as system:
        no_key = await system.http.post("/v0/gql", json={"query": "{apps{id}}"}, headers={"authorization": ""})
        found = await ask(system, "{ apps { name } }")

    assert 401 == no_key.status_code
    assert {"apps": [{"name": "app"}]} == found


ALL_RUNS = 'filter: {from: "2000-01-01T00:00:00Z"}, orderBy: [{field: QUEUED_AT, direction: DESC}]'


async def test_what_is_asked_for_under_many_names_is_looked_up_once(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []
    original = RunPages.count

    def count(pages: RunPages, wanted: RunFilter) -> int:
        counted.append(wanted)
        return original(pages, wanted)

    monkeypatch.setattr(RunPages, "count", count)
    async with start(*FUNCTIONS) as system:
        await run_id_of(system, "test/two", {"n": 1})
        names = " ".join(f"c{number}: totalCount" for number in range(30))
        found = await ask(system, f"{{ runs({ALL_RUNS}) {{ {names} }} }}")

    assert ({1}, 30, 1) == (set(found["runs"].values()), len(found["runs"]), len(counted))


def many(count: int, field: Callable[[int], str]) -> str:
    """Return a query of so many fields, each under a name of its own."""
    return "{ " + " ".join(f"a{number}: {field(number)}" for number in range(count)) + " }"


def page_since(year: int) -> str:
    return f"runs({ALL_RUNS.replace('2000', str(2000 + year))}) {{ totalCount }}"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (many(51, lambda _: "apps { id }"), "has 51 aliases; 50 are allowed"),
        (many(50, lambda _: page_since(0)), None),
        (many(30, page_since), "more than 10000 objects"),
    ],
    ids=["aliases", "pages of one filter", "counts of many filters"],
)
async def test_the_cost_of_one_request_is_bounded(start: StartSystem, query: str, message: str | None) -> None:
    async with start(*FUNCTIONS) as system:
        answer = (await system.http.post("/v0/gql", json={"query": query})).json()
        messages = {error["message"] for error in answer.get("errors", ())}

    assert (message is None) == (not messages)
    assert all(message is not None and message in one for one in messages)


async def test_a_run_is_repeated_and_from_a_step_with_other_arguments(start: StartSystem) -> None:
    mutation = "mutation($id: ULID!, $step: RerunFromStepInput) { rerun(runID: $id, fromStep: $step) }"
    run_query = "query($id: String!) { run(runID: $id) { output originalRunID } }"
    async with start(*FUNCTIONS) as system:
        run_id = await run_id_of(system, "test/two", {"n": 1})
        again = (await ask(system, mutation, id=run_id))["rerun"]
        await system.idle()
        repeated = (await ask(system, run_query, id=again))["run"]
        system.app.replies["two"] = lambda call: reply(200, call.memos)
        await ask(system, mutation, id=run_id, step={"stepID": "second", "input": "[5]"})
        await system.idle()
        memos = system.app.calls[-1].memos

        assert {"output": '{"sum":3}', "originalRunID": run_id} == repeated
        assert {hash_id("first"): {"data": 1}, hash_id("second"): {"input": [5]}} == memos
        for text, message in (
            ("{}", "input must be an array"),
            ("[" * 100_000, "input is nested deeper than 400 levels"),
        ):
            assert message in await refused(system, mutation, id=run_id, step={"stepID": "second", "input": text})
        assert "third" in await refused(system, mutation, id=run_id, step={"stepID": "third"})


async def test_a_cancelled_run_is_cancelled_once_more_without_complaint(start: StartSystem) -> None:
    mutation = "mutation($id: ULID!) { cancelRun(runID: $id) { id status } }"
    async with start(*FUNCTIONS) as system:
        waiting = await system.send("test/wait")
        ended = await run_id_of(system, "test/two", {"n": 1})
        run_id = (await system.runs(waiting))[0]["run_id"]
        answers = [await ask(system, mutation, id=run_id) for _ in range(2)]
        message = await refused(system, mutation, id=ended)

    assert [{"cancelRun": {"id": run_id, "status": "CANCELLED"}}] * 2 == answers
    assert "cannot cancel an ended run: it has the status Completed" == message


async def test_the_url_of_an_app_that_was_not_found_is_put_right(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        wrong = (await ask(system, 'mutation { createApp(input: {url: "127.0.0.1:1/x"}) { id name error } }'))[
            "createApp"
        ]
        mutation = "mutation($id: String!, $url: String!) { updateApp(input: {id: $id, url: $url}) { name url error } }"
        fixed = (await ask(system, mutation, id=wrong["id"], url=system.app.url))["updateApp"]
        apps = (await ask(system, "{ apps { name } }"))["apps"]
        unknown = await refused(system, mutation, id="nobody", url="http://x")

    assert ("", "unreachable") == (wrong["name"], wrong["error"])
    assert ({"name": "app", "url": system.app.url, "error": None}, [{"name": "app"}]) == (fixed, apps)
    assert "there is no app nobody" == unknown


async def test_the_stream_mixes_events_and_ticks_the_newest_first(start: StartSystem) -> None:
    clock = VirtualClock()
    hourly = Fn("hourly", failing, triggers=[{"cron": "0 * * * *"}])
    query = "query($given: StreamQuery!) { stream(query: $given) { id trigger type runs { status } } }"
    async with start(*FUNCTIONS, hourly, clock=clock) as system:
        await system.send("test/two", {"n": 1})
        await system.advance(3600)
        second = await system.send("test/wait")
        await system.idle()
        whole = (await ask(system, query, given={}))["stream"]
        pages = [
            (await ask(system, query, given=given))["stream"]
            for given in (
                {"limit": 1},
                {"before": second},
                {"after": whole[1]["id"]},
                {"after": "2023-11-15T00:00:00Z"},
                {"includeInternalEvents": True},
            )
        ]
        wrong = await refused(system, query, given={"after": "yesterday"})

    assert [("test/wait", "EVENT"), ("0 * * * *", "CRON"), ("test/two", "EVENT")] == [
        (item["trigger"], item["type"]) for item in whole
    ]
    assert ["RUNNING", "FAILED", "COMPLETED"] == [item["runs"][0]["status"] for item in whole]
    assert [whole[:1], whole[1:], whole[:1], []] == pages[:4]
    assert {"inngest/function.finished", "inngest/function.failed", "test/wait"} < {one["trigger"] for one in pages[4]}
    assert "yesterday" in wrong


async def test_older_queries_find_events_and_runs(start: StartSystem) -> None:
    events = "query($given: EventsQuery!) { events(query: $given) { id name } }"
    legacy = """query($id: ID!) { functionRun(query: {functionRunId: $id}) { id status output event { name } } }"""
    async with start(*FUNCTIONS) as system:
        first = await system.send("test/two", {"n": 1})
        second = await system.send("test/wait")
        run_id = (await system.run_of(first))["run_id"]
        found = [
            [event["id"] for event in (await ask(system, events, given=given))["events"]]
            for given in ({}, {"lastEventId": second}, {"name": "test/wait"})
        ]
        internal = (await ask(system, events, given={"name": "inngest/function.finished"}))["events"]
        run = (await ask(system, legacy, id=run_id))["functionRun"]
        missing = await refused(system, legacy, id="x")

    assert [[second, first], [first], [second]] == found
    assert 1 == len(internal)
    assert {"id": run_id, "status": "COMPLETED", "output": '{"sum":3}', "event": {"name": "test/two"}} == run
    assert "run not found: x" == missing
