"""The server as a whole: configuration, ports, leases of long calls, stopping, and the gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core import Context, Inngest, NonRetriableError, TriggerEvent
from stepserve_core._protocol import Request, Response
from stepserve_core.errors import ConfigurationError, SendEventsError
from stepserve_core.executor import Executor, LoopSettings, Store, VirtualClock, limits, listening
from stepserve_core.executor.http_transport import HttpTransport
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.listening import PortInUseError, bind, bind_gateway
from stepserve_core.executor.server import ServerConfig, serving
from stepserve_core.executor.transport import EmbeddedTransport, TransportError
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, served

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]
KEY = "signkey-prod-5ec4e7"


def fine(_: Call) -> Steps:
    return "fine"
    yield


def config_of(**settings: Any) -> ServerConfig:
    settings.setdefault("port", 0)
    return ServerConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cloud", "event_keys": ["k"]}, "INNGEST_SIGNING_KEY"),
        ({"kind": "cloud", "signing_key": KEY}, "INNGEST_EVENT_KEY"),
        ({"kind": "cloud", "signing_key": KEY, "event_keys": [""]}, "INNGEST_EVENT_KEY"),
        ({"signing_key": "signkey-prod-xyz"}, "--signing-key"),
        ({"signing_key": KEY, "signing_key_fallback": "abc"}, "--signing-key-fallback"),
        ({"kind": "staging"}, "dev or cloud"),
        ({"port": 65536}, "--port"),
        ({"concurrency": 0}, "--queue-workers"),
        ({"backlog_limit": 0}, "--backlog-limit must be at least 1, not 0"),
        ({"synchronous": "SOMETIMES"}, "FULL, NORMAL, OFF"),
        ({"host": "203.0.113.1"}, "--host"),
    ],
)
async def test_settings_that_cannot_work_are_refused_with_the_flag(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        async with serving(config_of(**settings)):
            raise AssertionError("must not start")

    assert "5ec4e7" not in str(caught.value)


async def test_a_busy_port_moves_up_in_dev_and_is_an_error_in_production() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port: int = taken.getsockname()[1]
        moved = bind(ServerConfig(port=port))

        assert moved.getsockname()[1] > port
        moved.close()
        with pytest.raises(PortInUseError, match=f"port {port} is in use; choose another one with --port"):
            bind(ServerConfig(kind="cloud", port=port, signing_key=KEY, event_keys=["k"]))


def test_after_the_last_port_workers_get_a_free_one_in_dev_and_production_asks_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as api:
        api.bind(("127.0.0.1", 0))
        port: int = api.getsockname()[1]
        monkeypatch.setattr(listening, "_LAST_PORT", port)
        with bind_gateway(ServerConfig(port=port), api) as free:
            assert 0 < free.getsockname()[1]

        with pytest.raises(
            ConfigurationError, match=f"at the port after {port}, and there is none; choose one with --conn"
        ):
            bind_gateway(ServerConfig(kind="cloud", port=port, signing_key=KEY, event_keys=["k"]), api)


async def test_a_database_that_cannot_be_opened_leaves_no_port_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigurationError, match="is not a database of stepserve"):
        async with serving(ServerConfig(port=0, database=str(path))):
            raise AssertionError("must not start")

    assert b"not a database" * 100 == path.read_bytes()


async def test_the_lease_of_a_long_call_is_renewed(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(Fn("f", fine, ON_X), clock=clock) as system:
        release = asyncio.Event()

        async def slow(_: Call) -> Response:
            await release.wait()
            return reply(200, "slow")

        system.app.replies["f"] = slow
        event_id = await system.send("test/x")
        while not system.app.calls:
            await asyncio.sleep(0.005)
        for _ in range(5):
            clock.advance(LEASE / 2)
            leases = await _lease_ends(system.executor, clock.now())

            assert leases == [clock.now() + LEASE]
        release.set()
        assert ("Completed", "slow") == await system.outcome(event_id)
        assert 1 == len(system.app.calls)


async def test_an_item_that_fails_inside_the_executor_is_called_again(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> Any:
        monkeypatch.undo()
        raise RuntimeError("broken")

    clock = VirtualClock()
    async with start(Fn("f", fine, ON_X), clock=clock) as system:
        monkeypatch.setattr(system.executor.transport, "send", broken)
        event_id = await system.send("test/x")
        await system.idle()
        before = [run["status"] for run in await system.runs(event_id)]
        await system.advance(LEASE / 2)
        await system.advance(LEASE / 2)

        assert (["Running"], ("Completed", "fine")) == (before, await system.outcome(event_id))
    assert "it is called again when its lease ends" in caplog.text


async def _lease_ends(executor: Executor, now: float) -> list[float]:
    """Return when the leases end, once the loop has seen that it is `now`."""
    while True:
        ends = await executor.read(lambda tables: tables.queue.lease_ends())
        if all(end > now + LEASE / 2 for end in ends):
            return ends
        await asyncio.sleep(0.005)


async def test_calls_under_way_are_finished_or_given_back_when_the_server_stops(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    executor = Executor(Store(path))
    await executor.start()
    never = asyncio.Event()
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        await never.wait()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as origin:
        await executor.register(_registration(f"{origin}/"))
        await executor.send({"name": "test/x"})
        while not calls:
            await asyncio.sleep(0.005)
        await executor.stop(grace=0.05)
        never.set()
    store = Store(path)
    ready = await store.write(lambda tables: tables.queue.claim(10, 1.0))
    store.close()

    assert ["start"] == [item.kind for item in ready]


def _registration(url: str) -> bytes:
    step = f'{{"runtime":{{"type":"http","url":"{url}?fnId=app-f&stepId=step"}}}}'
    function = f'{{"id":"app-f","name":"f","triggers":[{{"event":"test/x"}}],"steps":{{"step":{step}}}}}'
    return f'{{"appName":"app","url":"{url}","functions":[{function}]}}'.encode()


class Provider:
    """A provider of models that fails first and answers then."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((headers, message["body"]))
        status = 529 if len(self.requests) == 1 else 200
        body = b'{"error":{"message":"overloaded"}}' if status == 529 else b'{"text":"hello"}'
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def test_the_gateway_asks_the_provider_retries_and_memoises_the_answer(start: StartSystem) -> None:
    provider = Provider()
    async with start(Fn("f", fine, ON_X)) as system, served(provider) as origin:

        def script(call: Call) -> Response:
            step_id = hash_id("ai")
            if step_id in call.memos:
                return reply(200, call.memos[step_id])
            opts = {
                "url": f"{origin}/v1",
                "format": "anthropic",
                "auth_key": "secret",
                "headers": {"X-Mine": "yes"},
                "body": {"b": 1, "a": 2},
            }
            return reply(206, [{"op": "AIGateway", "id": step_id, "name": "ai", "opts": opts}])

        system.app.replies["f"] = script
        run = await system.run_of(await system.send("test/x"))
        headers, body = provider.requests[-1]

        assert {"data": {"text": "hello"}} == run["output"]
        assert (2, b'{"a":2,"b":1}') == (len(provider.requests), body)
        assert ("secret", "yes") == (headers["x-api-key"], headers["x-mine"])
        step = (await system.trace(run["run_id"]))["steps"][0]
        assert ["Failed", "Completed"] == [attempt["status"] for attempt in step["attempts"]]
        assert "overloaded" == step["attempts"][0]["error"]["message"]


async def test_our_own_sdk_runs_in_process_without_a_socket() -> None:
    client = Inngest(app_id="shop", is_production=False)

    @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/order"), retries=0)
    async def order(ctx: Context) -> dict[str, object]:
        async def one() -> int:
            return 1

        async def fail() -> None:
            raise NonRetriableError("no")

        first, second = await asyncio.gather(ctx.step.run("a", one), ctx.step.run("b", one))
        if ctx.event.data.get("fail"):
            await ctx.step.run("fail", fail)
        return {"sum": first + second}

    settings = LoopSettings(retry_interval=0.0)
    async with Executor.embedded(client, [order], clock=VirtualClock(), settings=settings) as executor:
        good, bad = await executor.send([{"name": "shop/order"}, {"name": "shop/order", "data": {"fail": True}}])
        await executor.loop.idle()
        (completed,) = await executor.read(lambda tables: tables.runs.of_event(good))
        (failed,) = await executor.read(lambda tables: tables.runs.of_event(bad))

        assert ("Completed", b'{"sum":2}') == (completed.status, completed.output)
        assert "Failed" == failed.status
        with pytest.raises(SendEventsError, match="reserved") as caught:
            await executor.send([{"name": "ok"}, {"name": "inngest/x"}])
        assert 1 == len(caught.value.ids)


class BrokenHandler:
    async def ahandle(self, request: Request) -> Response:
        raise RuntimeError(f"no {request.method}")


async def test_a_handler_that_raises_in_process_is_a_failed_attempt() -> None:
    transport = EmbeddedTransport(BrokenHandler())
    with pytest.raises(TransportError, match="the app failed: RuntimeError: no POST"):
        await transport.send("POST", "http://embedded/", {}, b"", 1.0)


async def test_an_answer_over_the_limit_is_not_read_to_its_end() -> None:
    async def long(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(640):  # 40 MiB; once the connection is closed nothing more is sent
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    transport = HttpTransport()
    async with served(long) as origin:
        answer = await transport.send("POST", origin, {}, b"", 30.0)
        await transport.close()

    assert limits.ANSWER_BODY < len(answer.body) < 2 * limits.ANSWER_BODY


async def test_everything_in_memory_works_over_http_too() -> None:
    async with serving(ServerConfig(port=0)) as server, httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/e/key", json={"name": "test/x"})

        assert 200 == answer.status_code
        assert 1 == len((await http.get("/v1/events")).json()["data"])
