"""GraphQL: the fields that dashboards ask for in one breath. One that is missing would fail their whole query."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor.api.graphql.views import status_of_event
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, Step, hash_id, invoke, reply, run, sleep, wait
from tests.executor.system import System
from tests.executor.test_graphql import ask

pytestmark = pytest.mark.anyio
Steps = Generator[Any, Any, Any]


def tour(_: Call) -> Steps:
    yield Step("StepRun", "typed", lambda: 1, opts={"type": "step.sendEvent"})
    yield sleep("nap", "1s")
    yield invoke("call", "app-child")
    yield wait("found", "test/found", "1h")
    yield wait("missed", "test/missed", "1s", "async.data.n == 1")
    yield Step("WaitForSignal", "signal", opts={"signal": "door", "timeout": "1s"})


def child(_: Call) -> Steps:
    yield run("only", 1)


def failing(_: Call) -> Steps:
    yield run("fine", 1)
    raise RaisedError("no good", no_retry=True)


SCHEDULE = "inngest/deferred.schedule"
BATCH = {"maxSize": 3, "timeout": "60s", "key": "event.data.k"}
FUNCTIONS = (
    Fn("tour", tour, triggers=[{"event": "test/tour"}]),
    Fn("child", child, triggers=[{"event": "test/child"}, {"event": "test/both"}]),
    Fn("later", child, triggers=[{"event": SCHEDULE, "expression": "event.data._inngest.fn_slug == 'app-later'"}]),
    Fn("failing", failing, triggers=[{"event": "test/failing"}, {"event": "test/both"}]),
    Fn(
        "failing-failure",
        child,
        triggers=[{"event": "inngest/function.failed", "expression": "event.data.function_id == 'app-failing'"}],
    ),
    Fn("batch", child, triggers=[{"event": "test/batch"}], options={"batchEvents": BATCH}),
    Fn("limited", child, options={"concurrency": [{"limit": 1, "key": "event.data.k"}, {"limit": 4}]}),
)

TRACE = """query($id: String!) { runTrace(runID: $id) { ...Span childrenSpans { ...Span } } }
fragment Span on RunTraceSpan {
  name appID run { id } groupID scheduledAt parentSpan { name } isUserland debugRunID debugPaused skipReason stepType
  metadata { scope kind values updatedAt } response { statusCode headers }
  stepInfo {
    __typename
    ... on InvokeStepInfo { functionID triggeringEventID runID timedOut }
    ... on SleepStepInfo { sleepUntil }
    ... on WaitForEventStepInfo { eventName expression foundEventID timedOut }
    ... on WaitForSignalStepInfo { signal timedOut }
    ... on RunStepInfo { type }
  }
}"""


async def touring(system: System) -> str:
    """Run the tour to its end; return the id of the run."""
    event_id = await system.send("test/tour")
    await system.idle()
    await system.advance(2)
    await system.send("test/found", id="the-one")
    await system.idle()
    await system.advance(2)
    await system.advance(2)
    run_id: str = (await system.run_of(event_id))["run_id"]
    return run_id


async def test_every_span_says_what_its_kind_of_step_did(start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        run_id = await touring(system)
        metadata = {"metadata": [{"kind": "userland.cost", "op": "merge", "values": {"cents": 3}}]}
        await system.http.post(f"/v1/runs/{run_id}/metadata", json={"target": {}, **metadata})
        root = (await ask(system, TRACE, id=run_id))["runTrace"]
        (app,) = (await ask(system, "{ apps { id } }"))["apps"]

    spans = {span["name"]: span for span in root["childrenSpans"]}
    info = {name: span["stepInfo"] for name, span in spans.items()}
    assert {"__typename": "RunStepInfo", "type": "step.sendEvent"} == info["typed"]
    assert ("step.sendEvent", "Sleep") == (spans["typed"]["stepType"], spans["nap"]["stepType"])
    assert "SleepStepInfo" == info["nap"]["__typename"]
    assert ("app-child", False) == (info["call"]["functionID"], info["call"]["timedOut"])
    assert info["call"]["runID"] not in (None, run_id)
    assert ("test/found", "the-one", False) == tuple(
        info["found"][key] for key in ("eventName", "foundEventID", "timedOut")
    )
    assert ("async.data.n == 1", None, True) == tuple(
        info["missed"][key] for key in ("expression", "foundEventID", "timedOut")
    )
    assert {"__typename": "WaitForSignalStepInfo", "signal": "door", "timedOut": True} == info["signal"]
    assert {"Run"} == {span["parentSpan"]["name"] for span in spans.values()}
    assert {(app["id"], run_id)} == {(span["appID"], span["run"]["id"]) for span in [root, *spans.values()]}
    assert [{"scope": "run", "kind": "userland.cost", "values": {"cents": 3}, "updatedAt": None}] == root["metadata"]


EVENT = """query($id: ID!) { event(query: {eventId: $id}) {
  status schema functionRuns { pendingSteps batchCreatedAt events { id } }
} }"""


async def test_an_event_says_what_became_of_it(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        sent = {name: await system.send(f"test/{name}") for name in ("tour", "child", "failing", "both", "nothing")}
        await system.idle()
        found = {name: (await ask(system, EVENT, id=event_id))["event"] for name, event_id in sent.items()}

    assert {
        "tour": "RUNNING",
        "child": "COMPLETED",
        "failing": "FAILED",
        "both": "PARTIALLY_FAILED",
        "nothing": "NO_FUNCTIONS",
    } == {name: event["status"] for name, event in found.items()}
    assert [{"pendingSteps": 1, "batchCreatedAt": None, "events": [{"id": sent["tour"]}]}] == found["tour"][
        "functionRuns"
    ]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["Skipped"], "COMPLETED"),
        (["Cancelled"], "FAILED"),
        (["Cancelled", "Completed"], "PARTIALLY_FAILED"),
        (["Failed", "Scheduled"], "RUNNING"),
    ],
)
async def test_the_status_of_an_event_follows_from_those_of_its_runs(statuses: list[str], status: str) -> None:
    assert status == status_of_event(statuses)


async def test_functions_show_their_batches_failure_handlers_and_limits(start: StartSystem) -> None:
    query = """{ functions {
      slug failureHandler { slug } concurrency configuration { eventsBatch { maxSize timeout key } }
    } }"""
    async with start(*FUNCTIONS) as system:
        functions = {one["slug"]: one for one in (await ask(system, query))["functions"]}

    assert BATCH == functions["app-batch"]["configuration"]["eventsBatch"]
    assert {"slug": "app-failing-failure"} == functions["app-failing"]["failureHandler"]
    assert functions["app-child"]["failureHandler"] is None
    assert (4, 0) == (functions["app-limited"]["concurrency"], functions["app-child"]["concurrency"])


async def test_apps_are_found_by_how_they_are_reached(start: StartSystem) -> None:
    query = "query($method: AppMethod) { apps(filter: {method: $method}) { name method } }"
    async with start(*FUNCTIONS) as system:
        found = {method: (await ask(system, query, method=method))["apps"] for method in ("SERVE", "CONNECT", None)}

    app = {"name": "app", "method": "SERVE"}
    assert {"SERVE": [app], "CONNECT": [], None: [app]} == found


AI_RUNS = """{ runs(filter: {from: "2000-01-01T00:00:00Z"}, orderBy: [{field: QUEUED_AT, direction: DESC}]) {
  edges { node { hasAI function { slug } } }
} }"""


def deferring(call: Call) -> Any:
    """Answer a step that defers another function, then end."""
    if call.memos:
        return reply(200, "done")
    opts = {"fn_slug": "app-later", "input": {"n": 1}}
    defer = {"op": "DeferAdd", "id": hash_id("later"), "name": "later", "displayName": "later", "opts": opts}
    return reply(206, [defer, {"op": "StepRun", "id": hash_id("a"), "name": "a", "displayName": "a", "data": 1}])


RUNS = """query($deferred: Boolean) { runs(
  filter: {from: "2000-01-01T00:00:00Z", isDeferred: $deferred}, orderBy: [{field: QUEUED_AT, direction: ASC}]
) { edges { node {
  eventName isDeferred hasAI batchCreatedAt sourceID
  defers { userlandDeferID status function { slug } run { status } } siblingDefers { userlandDeferID }
} } } }"""


async def test_runs_show_what_they_deferred_and_are_found_by_it(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        system.app.replies["failing"] = deferring
        await system.send("test/failing")
        await system.idle()
        found = {
            key: [edge["node"] for edge in (await ask(system, RUNS, deferred=key))["runs"]["edges"]]
            for key in (True, False, None)
        }

    later = {"userlandDeferID": "later", "status": "SCHEDULED", "function": {"slug": "app-later"}}
    assert [{**later, "run": {"status": "COMPLETED"}}] == found[False][0]["defers"]
    assert [(SCHEDULE, True)] == [(one["eventName"], one["isDeferred"]) for one in found[True]]
    assert [{"userlandDeferID": "later"}] == found[True][0]["siblingDefers"]
    assert (1, 1, 2) == (len(found[True]), len(found[False]), len(found[None]))


async def test_runs_that_ask_models_are_marked(start: StartSystem) -> None:
    request = {"url": "http://127.0.0.1:9/", "body": {}, "format": "openai-chat"}

    def asking(_: Call) -> Steps:
        yield Step("AIGateway", "ask", name="ask", opts=request)

    async with start(Fn("ask", asking, triggers=[{"event": "test/child"}]), *FUNCTIONS) as system:
        await system.send("test/child")
        await system.idle()
        runs = (await ask(system, AI_RUNS))["runs"]

    marked = {edge["node"]["function"]["slug"]: edge["node"]["hasAI"] for edge in runs["edges"]}
    assert {"app-ask": True, "app-child": False} == marked


async def test_lists_of_events_are_counted_whatever_the_page(start: StartSystem) -> None:
    query = """query($after: String, $internal: Boolean!, $names: [String!]) { eventsV2(
      first: 1, after: $after
      filter: {from: "2000-01-01T00:00:00Z", includeInternalEvents: $internal, eventNames: $names}
    ) { totalCount pageInfo { endCursor } edges { node { version source { id } } } } }"""
    async with start(*FUNCTIONS) as system:
        for _ in range(2):
            await system.send("test/child", v="3")
        await system.idle()
        first = (await ask(system, query, internal=False))["eventsV2"]
        second = (await ask(system, query, internal=False, after=first["pageInfo"]["endCursor"]))["eventsV2"]
        others = [
            (await ask(system, query, internal=True, **names))["eventsV2"]["totalCount"]
            for names in ({}, {"names": ["test/child"]}, {"names": ["test/none"]})
        ]

    assert [2, 2, [4, 2, 0]] == [first["totalCount"], second["totalCount"], others]
    assert [{"node": {"version": "3", "source": None}}] == first["edges"]


async def test_what_belongs_to_the_step_debugger_is_accepted_and_not_used(start: StartSystem) -> None:
    query = """mutation($id: ULID!) {
      invokeFunction(functionSlug: "app-child", meta: {sessions: {user: "7"}}, debugSessionID: $id, debugRunID: $id)
    }"""
    rerun = "mutation($id: ULID!) { rerun(runID: $id, debugSessionID: $id, debugRunID: $id) }"
    async with start(*FUNCTIONS) as system:
        run_id = (await system.run_of(await system.send("test/child")))["run_id"]
        invoked = await ask(system, query, id=run_id)
        again = await ask(system, rerun, id=run_id)
        await system.idle()
        event = next(call.event for call in system.app.calls if "_inngest" in call.event["data"])

    assert {"invokeFunction": True} == invoked
    assert run_id != again["rerun"]
    assert {"sessions": {"user": "7"}} == event["meta"]
