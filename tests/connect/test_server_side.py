"""The gateway, with workers that do just what a test tells them: leases, routing, and who is sent away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, NegotiationError
from websockets.typing import Subprotocol

from stepserve_core.connect.messages import (
    SUBPROTOCOL,
    AppConfiguration,
    AuthData,
    ExecutorRequest,
    ExtendLeaseAck,
    Kind,
    ReplyAck,
    Status,
    SyncError,
    SystemAttributes,
    WorkerReply,
    frame,
)
from stepserve_core.executor import ids
from stepserve_core.executor.connect.intervals import Intervals
from tests.connect.conftest import Serve, Served
from tests.connect.raw_worker import RawWorker, ask_for_gateway, done, function, hello, raw_worker, stranger

pytestmark = pytest.mark.anyio

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
CONNS = "/v0/connect/envs/any/conns"


async def ended(system: Served, event_id: str) -> tuple[str, Any]:
    """Wait until a run has ended."""
    while (outcome := await system.outcome(event_id))[0] == "Running":
        await asyncio.sleep(0.005)
    return outcome


async def test_a_call_has_everything_that_one_over_http_has(serve: Serve) -> None:
    async with serve() as system, raw_worker(system.http) as worker:
        event_id = await system.send("test/x", {"n": 1})
        call = await worker.take()
        body = json.loads(call.request_payload)
        await worker.reply(call, [body["event"]["data"]["n"], call.step_id])
        outcome = await ended(system, event_id)

    assert ("Completed", [1, "step"]) == outcome
    assert ("app", ids.app_id("app"), "app-f") == (call.app_name, call.app_id, call.function_slug)
    assert (body["ctx"]["run_id"], body["ctx"]["request_id"]) == (call.run_id, call.request_id)
    assert b"{}" == call.system_trace_ctx  # upstream's flush needs JSON there


async def test_a_planned_step_is_named_in_the_call(serve: Serve) -> None:
    op = {"op": "StepPlanned", "id": "a" * 40, "name": "a", "displayName": "a"}
    async with serve() as system, raw_worker(system.http) as worker:
        await system.send("test/x")
        call = await worker.take()
        reply = WorkerReply(call.request_id, body=json.dumps([op]).encode(), sdk_version="raw", request_version=2)
        await worker.send(Kind.WORKER_REPLY, reply)
        await worker.receive(Kind.WORKER_REPLY_ACK)
        planned = await worker.take()

    assert "a" * 40 == planned.step_id


async def test_a_result_that_forbids_another_attempt_is_an_error(serve: Serve) -> None:
    """The official TypeScript SDK says DONE of errors that are not retriable."""
    error = {"name": "NonRetriableError", "message": "no"}
    async with serve() as system, raw_worker(system.http) as worker:
        event_id = await system.send("test/x")
        call = await worker.take()
        fields: dict[str, Any] = {"status": Status.DONE, "no_retry": True, "sdk_version": "raw"}
        await worker.send(Kind.WORKER_REPLY, WorkerReply(call.request_id, body=json.dumps(error).encode(), **fields))
        await worker.receive(Kind.WORKER_REPLY_ACK)

        assert ("Failed", error) == await ended(system, event_id)


async def test_heartbeats_are_answered_and_silence_ends_the_connection(serve: Serve) -> None:
    async with serve(Intervals(heartbeat=0.1)) as system, raw_worker(system.http) as worker:
        await worker.send(Kind.WORKER_HEARTBEAT)
        answer = await worker.receive(Kind.GATEWAY_HEARTBEAT)
        closing = await worker.closing()

    assert (b"", (1008, "connect_heartbeats_missed")) == (answer, closing)


async def test_a_silent_worker_gets_no_calls_until_it_is_heard_again(serve: Serve) -> None:
    async with serve(Intervals(heartbeat=0.5)) as system, raw_worker(system.http) as worker:
        while system.executor.workers.choose("app-f") is not None:
            await asyncio.sleep(0.01)
        event_id = await system.send("test/x")
        assert "Running" == (await system.outcome(event_id))[0]
        await worker.send(Kind.WORKER_HEARTBEAT)
        await worker.receive(Kind.GATEWAY_HEARTBEAT)
        await worker.reply(await worker.take(), "heard")

        assert ("Completed", "heard") == await ended(system, event_id)


async def test_a_lease_is_new_after_each_extension_and_an_old_one_extends_nothing(serve: Serve) -> None:
    async with serve() as system, raw_worker(system.http) as worker:
        event_id = await system.send("test/x")
        call = await worker.take()
        await worker.extend(call)
        first = ExtendLeaseAck.decode(await worker.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK))
        await worker.extend(call)
        second = ExtendLeaseAck.decode(await worker.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK))
        await worker.reply(call, 1)
        await worker.extend(call)
        third = ExtendLeaseAck.decode(await worker.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK))

        assert ("Completed", 1) == await ended(system, event_id)
    assert first.new_lease_id not in (None, call.lease_id)
    assert [None, None] == [second.new_lease_id, third.new_lease_id]


async def test_a_call_is_made_again_when_its_lease_has_ended(serve: Serve) -> None:
    async with serve(Intervals(lease=0.2, ack=0.1)) as system, raw_worker(system.http) as worker:
        event_id = await system.send("test/x")
        first = await worker.take()
        second = await worker.take()
        await worker.reply(first, "too late")
        await worker.reply(second, "in time")

        assert ("Completed", "in time") == await ended(system, event_id)
    attempts = [json.loads(call.request_payload)["ctx"]["attempt"] for call in (first, second)]
    assert [0, 1] == attempts


async def test_a_call_that_is_not_acknowledged_goes_to_another_worker(serve: Serve) -> None:
    async with serve(Intervals(ack=0.2)) as system, raw_worker(system.http) as deaf:
        event_id = await system.send("test/x")
        await deaf.receive(Kind.GATEWAY_EXECUTOR_REQUEST)
        async with raw_worker(system.http, instance_id="other") as other:
            call = await other.take()
            await other.reply(call, "other")
            outcome = await ended(system, event_id)

    assert (("Completed", "other"), 0) == (outcome, json.loads(call.request_payload)["ctx"]["attempt"])


@pytest.mark.parametrize("is_clean", [True, False])
async def test_the_calls_of_a_worker_that_leaves_go_to_another_one(serve: Serve, is_clean: bool) -> None:
    async with serve() as system:
        async with raw_worker(system.http) as leaving:
            event_id = await system.send("test/x")
            await (leaving.take() if is_clean else leaving.receive(Kind.GATEWAY_EXECUTOR_REQUEST))
            await leaving.socket.close(1000, "WORKER_SHUTDOWN" if is_clean else "")
        async with raw_worker(system.http) as other:
            call = await other.take()
            await other.reply(call, "other")
            outcome = await ended(system, event_id)

    assert (("Completed", "other"), 0) == (outcome, json.loads(call.request_payload)["ctx"]["attempt"])


async def test_a_lost_worker_may_answer_over_its_next_connection_or_over_http(serve: Serve) -> None:
    async with serve() as system:
        async with raw_worker(system.http) as lost:
            events = [await system.send("test/x", {"n": n}) for n in range(2)]
            calls = [await lost.take(), await lost.take()]
            lost.socket.transport.abort()
        async with raw_worker(system.http) as back:
            await back.extend(calls[0])
            extended = ExtendLeaseAck.decode(await back.receive(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK))
            await back.reply(calls[0], "socket")
            flushed = await system.http.post("/v0/connect/flush", content=done(calls[1], "http").encode())
            outputs = [await ended(system, event) for event in events]

    assert extended.new_lease_id is not None
    assert calls[1].request_id == ReplyAck.decode(flushed.content).request_id
    assert sorted([("Completed", "socket"), ("Completed", "http")]) == sorted(outputs)


async def test_a_paused_worker_gets_no_calls_and_may_answer_those_that_it_has(serve: Serve) -> None:
    async with serve() as system, raw_worker(system.http) as worker:
        event_id = await system.send("test/x")
        call = await worker.take()
        await worker.send(Kind.WORKER_PAUSE)
        late = await system.send("test/x")
        await worker.reply(call, 1)

        assert ("Completed", 1) == await ended(system, event_id)
        assert "Running" == (await system.outcome(late))[0]


async def test_a_worker_that_wants_to_say_when_it_is_ready_gets_no_calls_before(serve: Serve) -> None:
    async with serve() as system, raw_worker(system.http, worker_manual_readiness_ack=True) as worker:
        event_id = await system.send("test/x")
        before = (await system.http.get(CONNS)).json()["data"][0]["status"]
        assert "Running" == (await system.outcome(event_id))[0]
        await worker.send(Kind.WORKER_READY)
        await worker.reply(await worker.take(), 1)

        assert (0, ("Completed", 1)) == (before, await ended(system, event_id))


async def test_connected_workers_are_listed(serve: Serve) -> None:
    attributes = SystemAttributes(4, 1024, "linux")
    async with serve() as system:
        async with raw_worker(system.http, system_attributes=attributes, max_worker_concurrency=7):
            (listed,) = (await system.http.get(CONNS, params={"app_id": ids.app_id("app")})).json()["data"]
            others = (await system.http.get(CONNS, params={"app_id": ids.app_id("other")})).json()["data"]
        await system.until_gone()
        after = (await system.http.get(CONNS)).json()["data"]

    assert ("raw", 1, "raw", "1") == tuple(
        listed[key] for key in ("instance_id", "status", "sdk_language", "sdk_version")
    )
    assert {"cpu_cores": 4, "mem_bytes": 1024, "os": "linux"} == listed["attributes"]
    assert ([], []) == (others, after)


WORKERS = """query($filter: ConnectV1WorkerConnectionsFilter!, $first: Int!, $after: String) {
  workerConnections(first: $first, after: $after, orderBy: [{field: CONNECTED_AT, direction: DESC}], filter: $filter) {
    totalCount pageInfo { hasNextPage endCursor }
    edges { node { instanceId appName status functionCount maxWorkerConcurrency app { name } } }
  }
}"""


async def test_graphql_lists_the_apps_of_workers_page_by_page(serve: Serve) -> None:
    async def ask(**variables: Any) -> Any:
        answer = await system.http.post("/v0/gql", json={"query": WORKERS, "variables": {"filter": {}, **variables}})
        return answer.json()["data"]["workerConnections"]

    async with (
        serve() as system,
        raw_worker(system.http, instance_id="one", max_worker_concurrency=7),
        raw_worker(system.http, function("b-f"), function("b-g"), app="b", instance_id="two"),
    ):
        first = await ask(first=1)
        second = await ask(first=1, after=first["pageInfo"]["endCursor"])
        some = await ask(
            first=9, filter={"appIDs": [ids.app_id("b")], "status": ["READY"], "from": "2020-01-01T00:00:00Z"}
        )
        none = await ask(first=9, filter={"until": "2020-01-01T00:00:00Z"})

    assert [(2, True), (2, False)] == [
        (page["totalCount"], page["pageInfo"]["hasNextPage"]) for page in (first, second)
    ]
    two, one = first["edges"][0]["node"], second["edges"][0]["node"]
    assert ("two", "b", "READY", 2, "b") == (
        two["instanceId"],
        two["appName"],
        two["status"],
        two["functionCount"],
        two["app"]["name"],
    )
    assert ("one", "app", 7) == (one["instanceId"], one["appName"], one["maxWorkerConcurrency"])
    assert (1, 0) == (some["totalCount"], none["totalCount"])


async def test_functions_that_cannot_be_used_are_refused_with_every_problem(serve: Serve) -> None:
    async with serve() as system, stranger(system.http) as (worker, started):
        await worker.send(Kind.WORKER_CONNECT, hello(started, function(retries=-1, concurrency=[{"limit": "x"}])))
        problem = SyncError.decode(await worker.receive(Kind.SYNC_FAILED))
        closing = await worker.closing()

    assert ("connect_invalid_function_config", (1008, "connect_invalid_function_config")) == (problem.code, closing)
    assert "At least one function is invalid; function 'app-f': concurrency" in problem.message


async def nothing(_: RawWorker, __: Any) -> None:
    """Keep quiet."""


def sending(content: bytes | str) -> Any:
    async def send(worker: RawWorker, _: Any) -> None:
        await worker.socket.send(content)

    return send


def saying(**changes: Any) -> Any:
    async def say(worker: RawWorker, started: Any) -> None:
        await worker.send(Kind.WORKER_CONNECT, hello(started, **changes))

    return say


def after_hello(content: bytes | str) -> Any:
    async def say(worker: RawWorker, started: Any) -> None:
        await worker.send(Kind.WORKER_CONNECT, hello(started))
        await worker.receive(Kind.GATEWAY_CONNECTION_READY)
        await worker.socket.send(content)

    return say


BAD_REPLY = frame(Kind.WORKER_REPLY)[:2] + b"\x12\x03\x0a\x05x"
MANY = [AppConfiguration(f"app-{number}", None, b"[]") for number in range(11)]


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (nothing, "connect_worker_hello_timeout"),
        (sending("text"), "connect_worker_hello_invalid_msg"),
        (sending(b""), "connect_worker_hello_invalid_msg"),
        (sending(frame(Kind.WORKER_HEARTBEAT)), "connect_worker_hello_invalid_msg"),
        (sending(b"\xff\xff"), "connect_worker_hello_invalid_payload"),
        (sending(frame(Kind.WORKER_CONNECT) + b"\x12\x02\x0a\x09"), "connect_worker_hello_invalid_payload"),
        (saying(auth_data=AuthData()), "connect_authentication_failed"),
        (saying(auth_data=AuthData("a.b.c")), "connect_authentication_failed"),
        (saying(connection_id="01M8"), "connect_authentication_failed"),
        (saying(instance_id=""), "connect_worker_hello_invalid_payload"),
        (saying(apps=[]), "connect_worker_hello_invalid_payload"),
        (saying(apps=MANY), "connect_too_many_apps_per_connection"),
        (saying(apps=[AppConfiguration("app", None, b"no JSON")]), "connect_invalid_function_config"),
        (saying(apps=[AppConfiguration("", None, b"[]")]), "connect_invalid_function_config"),
        (after_hello("text"), "connect_run_invalid_message"),
        (after_hello(b"\xff"), "connect_run_invalid_message"),
        (after_hello(BAD_REPLY), "connect_run_invalid_message"),
    ],
)
async def test_a_connection_that_breaks_the_protocol_is_closed_and_costs_the_others_nothing(
    serve: Serve, misbehave: Any, reason: str
) -> None:
    intervals = Intervals(hello=0.2 if misbehave is nothing else 5.0)
    async with serve(intervals) as system, raw_worker(system.http, function("good-f"), app="good") as good:
        async with stranger(system.http) as (worker, started):
            await misbehave(worker, started)
            closing = await worker.closing()
        await good.send(Kind.WORKER_HEARTBEAT)
        await good.receive(Kind.GATEWAY_HEARTBEAT)
        event_id = await system.send("test/x")
        call = await good.take()
        await good.reply(call, 1)
        runs = await system.runs(event_id)

    assert (1008, reason) == closing
    assert "good-f" == call.function_slug
    assert runs != []


async def test_a_token_lets_one_connection_in(serve: Serve) -> None:
    async with serve() as system, stranger(system.http) as (first, started):
        await first.send(Kind.WORKER_CONNECT, hello(started))
        await first.receive(Kind.GATEWAY_CONNECTION_READY)
        async with stranger(system.http) as (second, _):
            await second.send(Kind.WORKER_CONNECT, hello(started))

            assert (1008, "connect_authentication_failed") == await second.closing()


async def test_a_frame_over_the_limit_ends_its_connection_only(serve: Serve) -> None:
    async with serve() as system, raw_worker(system.http) as worker:
        await worker.socket.send(bytes(9 * 1024 * 1024))
        code, _ = await worker.closing()

        assert (1009, 200) == (code, (await system.http.get("/health")).status_code)


async def test_workers_connect_at_one_path_with_one_subprotocol(serve: Serve) -> None:
    async with serve() as system:
        endpoint = (await ask_for_gateway(system.http)).gateway_endpoint
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{endpoint}/x", subprotocols=[Subprotocol(SUBPROTOCOL)])
        with pytest.raises((InvalidStatus, NegotiationError)):
            await connect(endpoint, subprotocols=[Subprotocol("other")])


async def test_with_keys_only_their_bearers_may_connect_flush_and_list(serve: Serve) -> None:
    async with serve(kind="cloud", signing_key=KEY, event_keys=["key"]) as system:
        async with httpx.AsyncClient(base_url=system.server.url, trust_env=False) as nobody:
            refused = [
                (await nobody.post("/v0/connect/start")).status_code,
                (await nobody.post("/v0/connect/flush", content=done(ExecutorRequest("x"), 1).encode())).status_code,
                (await nobody.get(CONNS)).status_code,
            ]
        started = await ask_for_gateway(system.http)

    assert [401, 401, 401] == refused
    assert KEY == started.sync_token


@pytest.mark.parametrize("path", ["/v0/connect/start", "/v0/connect/flush"])
async def test_a_body_that_is_no_message_is_a_bad_request(serve: Serve, path: str) -> None:
    async with serve() as system:
        answer = await system.http.post(path, content=b"\xff")

    assert 400 == answer.status_code


async def test_workers_are_asked_to_leave_when_the_server_stops(serve: Serve) -> None:
    async with serve() as system, stranger(system.http) as (silent, _), raw_worker(system.http) as worker:
        event_id = await system.send("test/x")
        call = await worker.take()
        await system.server.gateway.drain()
        await worker.receive(Kind.GATEWAY_CLOSING)
        await worker.reply(call, "answered")
        outcome = await ended(system, event_id)
        await system.server.gateway.close()
        closings = [await worker.closing(), await silent.closing()]

    assert ("Completed", "answered") == outcome
    assert [(1001, "connect_gateway_closing")] * 2 == closings
