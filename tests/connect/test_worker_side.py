"""Our worker, with servers that do just what a test tells them: handshake, leases, answers, reconnecting, errors."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from stepserve import Inngest, TriggerEvent
from stepserve.connect import ConnectionState, WorkerConnection, connect
from stepserve_core import __version__
from stepserve_core._signature import hash_signing_key
from stepserve_core.connect import outbox
from stepserve_core.connect.calls import LARGEST_BODY
from stepserve_core.connect.messages import (
    ConnectionReady,
    ExtendLease,
    ExtendLeaseAck,
    Kind,
    ReplyAck,
    RequestAck,
    Status,
    SyncError,
    WorkerReply,
    WorkerStatus,
    frame,
)
from stepserve_core.connect.outbox import Outbox
from stepserve_core.connect.timing import Timing, read_interval, replaced_timing
from stepserve_core.errors import (
    ConfigurationError,
    ConnectError,
    ConnectRefusedError,
    FunctionConfigInvalidError,
    SigningKeyMissingError,
)
from tests.connect.conftest import TIMING, running
from tests.connect.raw_gateway import TRACE, Peer, RawGateway, raw_gateway, request

pytestmark = pytest.mark.anyio

KEY, OTHER_KEY = "signkey-test-1234", "signkey-test-abcd"
ON_X = TriggerEvent(event="test/x")


class Function:
    """A function that waits until it is let go; it says whether it was cancelled."""

    def __init__(self, output: object = "done") -> None:
        self.output = output
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.requests: list[Any] = []

    async def __call__(self, ctx: Any) -> object:
        self.requests.append((ctx.request_id, ctx.job_id))
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self.output

    def of(self, client: Inngest) -> Any:
        """Return the function for a client."""
        return client.create_function(fn_id="f", trigger=ON_X)(self.__call__)


@asynccontextmanager
async def worker(
    gateway: RawGateway, function: Function | None = None, **options: Any
) -> AsyncGenerator[tuple[WorkerConnection, Peer], None]:
    """Run a worker, and give its first connection."""
    client = gateway.client()
    given: dict[str, Any] = {"shutdown_signals": [], **options}
    async with running(connect([(client, [(function or Function()).of(client)])], **given)) as connection:
        yield connection, await gateway.peer()


async def test_the_handshake_says_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", "3")
    async with raw_gateway() as gateway, worker(gateway, instance_id="me") as (connection, peer):
        hello = peer.hello
        (function,) = json.loads(hello.apps[0].functions)

        assert hello.connection_id == connection.get_connection_id() == "connection-1"
    assert ("token", "me", "connect", "py", __version__, 3, False) == (
        hello.auth_data.session_token,
        hello.instance_id,
        hello.framework,
        hello.sdk_language,
        hello.sdk_version,
        hello.max_worker_concurrency,
        hello.worker_manual_readiness_ack,
    )
    assert {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"} == json.loads(hello.capabilities)
    assert {"type": "ws", "url": "wss://connect?fnId=app-f&stepId=step"} == function["steps"]["step"]["runtime"]
    assert hello.system_attributes.cpu_cores > 0
    assert gateway.starts[0]["content-type"] == "application/protobuf"
    assert "authorization" not in gateway.starts[0]


async def test_a_call_is_acknowledged_before_it_is_executed_and_answered_with_all_that_upstream_asks_for() -> None:
    function = Function()
    async with raw_gateway() as gateway, worker(gateway, function) as (_, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        ack = RequestAck.decode(await peer.next(Kind.WORKER_REQUEST_ACK))
        await function.begun.wait()
        function.let_go.set()
        reply = await peer.reply()

    assert RequestAck("r1", "account", "env", "app-id", "app-f", "step", TRACE, b"", "run") == ack
    assert [("r1", "job")] == function.requests
    sdk = f"inngest-py:v{__version__}"
    expected = WorkerReply(
        "r1", "account", "env", "app-id", Status.DONE, b'"done"', False, None, sdk, 2, TRACE, b"", "run"
    )
    assert expected == reply


async def test_a_lease_is_extended_with_its_latest_id_and_lost_without_a_new_one() -> None:
    function = Function()
    ready = frame(Kind.GATEWAY_CONNECTION_READY, ConnectionReady("10s", "20ms", "0s"))
    async with raw_gateway(welcome=ready) as gateway, worker(gateway, function) as (_, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await peer.next(Kind.WORKER_REQUEST_ACK)
        await function.begun.wait()
        first = ExtendLease.decode(await peer.next(Kind.WORKER_REQUEST_EXTEND_LEASE))
        await peer.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, ExtendLeaseAck("r1", new_lease_id="lease-2"))
        while (second := ExtendLease.decode(await peer.next(Kind.WORKER_REQUEST_EXTEND_LEASE))) == first:
            pass
        await peer.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, ExtendLeaseAck("r1"))
        await asyncio.wait_for(function.cancelled.wait(), 10)

    assert ("lease-1", "lease-2") == (first.lease_id, second.lease_id)
    assert ("r1", "app-f", TRACE) == (first.request_id, first.function_slug, first.system_trace_ctx)


async def test_calls_of_unknown_apps_and_frames_of_unknown_kinds_are_passed_over() -> None:
    function = Function()
    function.let_go.set()
    async with raw_gateway() as gateway, worker(gateway, function) as (_, peer):
        await peer.socket.send(b"\x08\x63")
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request("foreign", app="other"))
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request("ours"))
        ack = RequestAck.decode(await peer.next(Kind.WORKER_REQUEST_ACK))
        reply = await peer.reply()

    assert ("ours", "ours") == (ack.request_id, reply.request_id)


async def test_a_call_that_cannot_be_read_is_answered_with_an_error() -> None:
    async with raw_gateway() as gateway, worker(gateway) as (_, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request(request_payload=b"no JSON"))
        await peer.next(Kind.WORKER_REQUEST_ACK)
        reply = await peer.reply()

    assert (Status.ERROR, "body_invalid") == (reply.status, json.loads(reply.body)["code"])


async def test_an_answer_that_fits_into_no_frame_is_an_error() -> None:
    function = Function("x" * LARGEST_BODY)
    function.let_go.set()
    async with raw_gateway() as gateway, worker(gateway, function) as (_, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await peer.next(Kind.WORKER_REQUEST_ACK)
        reply = await peer.reply()

    assert (Status.ERROR, "output_too_large") == (reply.status, json.loads(reply.body)["code"])


async def test_what_is_not_acknowledged_is_handed_in_over_http() -> None:
    function = Function()
    function.let_go.set()
    ready = frame(Kind.GATEWAY_CONNECTION_READY, ConnectionReady("10s", "30ms", "0s"))
    async with raw_gateway(welcome=ready) as gateway, worker(gateway, function) as (_, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await peer.next(Kind.WORKER_REQUEST_ACK)
        sent = WorkerReply.decode(await peer.next(Kind.WORKER_REPLY))
        flushed = await asyncio.wait_for(gateway.flushed.get(), 10)

    assert sent == flushed


async def test_answers_go_over_the_next_connection_when_the_gateway_leaves() -> None:
    function = Function()
    async with raw_gateway() as gateway, worker(gateway, function) as (connection, old):
        await old.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await old.next(Kind.WORKER_REQUEST_ACK)
        await function.begun.wait()
        await old.send(Kind.GATEWAY_CLOSING)
        new = await gateway.peer()
        closing = await asyncio.wait_for(old.closed, 10)
        extension = ExtendLease.decode(await new.next(Kind.WORKER_REQUEST_EXTEND_LEASE))
        function.let_go.set()
        reply = await new.reply()
        await asyncio.wait_for(connection.wait_for_state(ConnectionState.ACTIVE), 10)
        name = connection.get_connection_id()

    assert ("r1", "r1", b'"done"') == (extension.request_id, reply.request_id, reply.body)
    assert ((1000, ""), "connection-2") == (closing, name)


async def test_a_lost_connection_is_made_anew_and_states_say_so() -> None:
    async with raw_gateway() as gateway, worker(gateway) as (connection, peer):
        lost = asyncio.create_task(connection.wait_for_state(ConnectionState.RECONNECTING))
        await asyncio.sleep(0)
        peer.socket.transport.abort()
        await asyncio.wait_for(lost, 10)
        again = await gateway.peer()
        await asyncio.wait_for(connection.wait_for_state(ConnectionState.ACTIVE), 10)

    assert "connection-2" == again.hello.connection_id


async def test_a_gateway_that_answers_no_heartbeats_is_left() -> None:
    ready = frame(Kind.GATEWAY_CONNECTION_READY, ConnectionReady("20ms", "10s", "0s"))
    async with raw_gateway(welcome=ready, is_alive=False) as gateway, worker(gateway) as (_, peer):
        again = await gateway.peer()

    assert (2, "connection-2") == (peer.heartbeats, again.hello.connection_id)


async def test_status_is_told_where_the_gateway_asks_for_it() -> None:
    function = Function()
    ready = frame(Kind.GATEWAY_CONNECTION_READY, ConnectionReady("10s", "10s", "20ms"))
    async with raw_gateway(welcome=ready) as gateway, worker(gateway, function) as (_, peer):
        idle = WorkerStatus.decode(await peer.next(Kind.WORKER_STATUS))
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await function.begun.wait()
        while (await peer.frames.get()).kind != Kind.WORKER_REQUEST_ACK:
            pass
        await peer.frames.get()
        busy = WorkerStatus.decode(await peer.next(Kind.WORKER_STATUS))
        function.let_go.set()
        while (await peer.frames.get()).kind != Kind.WORKER_REPLY:
            pass
        await peer.send(Kind.WORKER_REPLY_ACK, ReplyAck("r1"))

    assert ([], ["r1"]) == (idle.in_flight_request_ids, busy.in_flight_request_ids)


async def test_closing_pauses_finishes_and_says_goodbye() -> None:
    function = Function()
    async with raw_gateway() as gateway, worker(gateway, function) as (connection, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request("first"))
        await peer.next(Kind.WORKER_REQUEST_ACK)
        await function.begun.wait()
        await connection.close()
        await peer.next(Kind.WORKER_PAUSE)
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request("late"))
        function.let_go.set()
        reply = await peer.reply()
        closing = await asyncio.wait_for(peer.closed, 10)

    assert ("first", (1000, "WORKER_SHUTDOWN")) == (reply.request_id, closing)


async def test_answers_are_handed_in_when_the_connection_is_lost_while_closing() -> None:
    function = Function()
    async with raw_gateway() as gateway, worker(gateway, function) as (connection, peer):
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await peer.next(Kind.WORKER_REQUEST_ACK)
        await function.begun.wait()
        await connection.close()
        await peer.next(Kind.WORKER_PAUSE)
        peer.socket.transport.abort()
        function.let_go.set()
        flushed = await asyncio.wait_for(gateway.flushed.get(), 10)

    assert "r1" == flushed.request_id


async def test_a_signal_closes_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    async with raw_gateway() as gateway, worker(gateway, shutdown_signals=[signal.SIGUSR1]) as (connection, peer):
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(connection.closed(), 10)
        await peer.next(Kind.WORKER_PAUSE)

    assert before == signal.getsignal(signal.SIGUSR1)


async def test_cancelling_start_ends_the_worker_and_its_calls() -> None:
    function = Function()
    async with raw_gateway() as gateway:
        client = gateway.client()
        connection = connect([(client, [function.of(client)])], shutdown_signals=[])
        task = asyncio.create_task(connection.start())
        peer = await gateway.peer()
        await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
        await function.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(connection.closed(), 10)
        await asyncio.wait_for(function.cancelled.wait(), 10)


async def test_the_fallback_key_is_tried_where_the_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    async with raw_gateway(keys=(hash_signing_key(OTHER_KEY),)) as gateway:
        client = gateway.client(is_production=True, signing_key=KEY)
        async with running(connect([(client, [Function().of(client)])], shutdown_signals=[])):
            pass

    assert [f"Bearer {hash_signing_key(key)}" for key in (KEY, OTHER_KEY)] == [
        start["authorization"] for start in gateway.starts
    ]


async def start(gateway: RawGateway, client: Inngest | None = None, **options: Any) -> None:
    """Run a worker that cannot connect."""
    client = client or gateway.client()
    await connect([(client, [Function().of(client)])], shutdown_signals=[], **options).start()


async def test_a_key_that_is_refused_is_fatal_at_once() -> None:
    async with raw_gateway(keys=("other",)) as gateway:
        with pytest.raises(ConnectRefusedError, match=r"unauthorized: the server at .* is INNGEST_SIGNING_KEY that"):
            await start(gateway, gateway.client(is_production=True, signing_key=KEY))

    assert 1 == len(gateway.starts)


async def test_functions_that_are_refused_are_fatal_at_once() -> None:
    refusal = frame(Kind.SYNC_FAILED, SyncError("code", None, "no such trigger"))
    async with raw_gateway(welcome=refusal) as gateway:
        with pytest.raises(ConnectRefusedError, match="cannot use the functions: no such trigger"):
            await start(gateway)


async def test_a_server_that_fails_is_asked_some_times_before_giving_up() -> None:
    async with raw_gateway(start_status=500) as gateway:
        with pytest.raises(ConnectError, match="answered HTTP 500"):
            await start(gateway)

    assert TIMING.first_attempts == len(gateway.starts)


async def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        origin = f"http://127.0.0.1:{unused.getsockname()[1]}"
    client = Inngest(app_id="app", is_production=False, api_base_url=origin)
    with pytest.raises(ConnectError, match=f"the server at {origin} could not be reached"):
        await start(RawGateway(), client)


async def test_a_gateway_that_is_not_there_is_an_error_that_names_it() -> None:
    async with raw_gateway() as gateway:
        with pytest.raises(ConnectError, match=r"the gateway at ws://127\.0\.0\.1:9/x could not be reached"):
            await start(gateway, rewrite_gateway_endpoint=lambda _: "ws://127.0.0.1:9/x")


@pytest.mark.parametrize("endpoint", ["http://x", "ws://", "x", None])
async def test_a_rewritten_endpoint_must_be_one(endpoint: Any) -> None:
    async with raw_gateway() as gateway:
        with pytest.raises(ConfigurationError, match=r"rewrite_gateway_endpoint named .*, which is not ws://host"):
            await start(gateway, rewrite_gateway_endpoint=lambda _: endpoint)


async def test_the_endpoint_may_be_rewritten() -> None:
    seen: list[str] = []

    async with raw_gateway() as gateway:

        def rewrite(endpoint: str) -> str:
            seen.append(endpoint)
            return gateway.endpoint

        async with worker(gateway, rewrite_gateway_endpoint=rewrite):
            assert [gateway.endpoint] == seen


def client_of(app_id: str = "app", **settings: Any) -> Inngest:
    defaults: dict[str, Any] = {"is_production": False}
    return Inngest(app_id=app_id, **{**defaults, **settings})


def pair(**settings: Any) -> list[Any]:
    common = {"signing_key": KEY, "api_base_url": "http://one.example"}
    clients = [client_of("a", **common), client_of("b", **{**common, **settings})]
    return [(client, [Function().of(client)]) for client in clients]


@pytest.mark.parametrize(
    ("apps", "message"),
    [
        (list, "no apps provided"),
        (lambda: [client_of()], "takes a list of \\(client, functions\\)"),
        (lambda: [("app", [])], "takes a list of \\(client, functions\\)"),
        (lambda: pair(api_base_url="http://other.example"), "inconsistent app config: API base URL"),
        (lambda: pair(env="branch"), "inconsistent app config: env"),
        (lambda: pair(is_production=True), "inconsistent app config: mode"),
        (lambda: pair(signing_key=OTHER_KEY), "inconsistent app config: signing key"),
        (lambda: [*pair()[:1], *pair()[:1]], "two apps have the same app id"),
    ],
)
async def test_apps_that_do_not_go_together_are_refused(apps: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        connect(apps())


async def test_apps_without_functions_or_keys_are_refused() -> None:
    with pytest.raises(FunctionConfigInvalidError, match="no functions found"):
        connect([(client_of(), [])])
    client = client_of(is_production=True)
    with pytest.raises(SigningKeyMissingError):
        connect([(client, [Function().of(client)])])


@pytest.mark.parametrize("number", [0, -1, True, 1.5])
async def test_a_concurrency_that_makes_no_sense_is_refused(number: Any) -> None:
    client = client_of()
    with pytest.raises(ConfigurationError, match="max_worker_concurrency"):
        connect([(client, [Function().of(client)])], max_worker_concurrency=number)


async def test_a_connection_is_started_once_and_not_after_it_was_closed() -> None:
    client = client_of()
    connection = connect([(client, [Function().of(client)])])
    states = [connection.get_state()]
    await connection.close(wait=True)
    await connection.start()
    states.append(connection.get_state())
    with pytest.raises(ConnectError, match="called before"):
        await connection.start()

    assert [ConnectionState.CONNECTING, ConnectionState.CLOSED] == states


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("1m0s", 60), ("250ms", 0.25), ("", 7), ("x", 7)])
async def test_intervals_are_go_durations(text: str, seconds: float) -> None:
    assert seconds == read_interval(text, 7)


async def test_the_oldest_answers_give_way_when_too_many_wait() -> None:
    kept = Outbox(largest=10)
    dropped = [kept.put(WorkerReply(name, body=b"1234"), 0.0) for name in ("a", "b", "c")]

    assert ([[], [], ["a"]], ["b", "c"]) == (dropped, [reply.request_id for reply in kept.all()])
    assert outbox.LARGEST == 500 * 1024 * 1024


async def test_calls_that_take_too_long_to_end_are_given_up_at_closing() -> None:
    function = Function()
    with replaced_timing(msgspec.structs.replace(TIMING, longest_close=0.05)):
        async with raw_gateway() as gateway, worker(gateway, function) as (connection, peer):
            await peer.send(Kind.GATEWAY_EXECUTOR_REQUEST, request())
            await function.begun.wait()
            await connection.close(wait=True)

    assert (True, 7200.0) == (function.cancelled.is_set(), Timing().longest_close)
