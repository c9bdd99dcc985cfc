"""Realtime: what functions publish reaches whoever has subscribed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from stepserve import Function, Inngest, realtime
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.realtime.broker import MOST_WAITING, MOST_WAITING_BYTES, Broker
from stepserve_core.executor.realtime.tokens import TokenInvalidError, Topic, make_token, read_token
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, Step, served
from tests.executor.sdk_system import KEY, sdk_system
from tests.executor.system import System
from tests.executor.test_gateway import Site

pytestmark = pytest.mark.anyio

PATIENCE = 10
"""Seconds after which a message that does not come fails its test."""


@dataclasses.dataclass
class Status:
    """What a message carries."""

    step: str
    done: int


orders = realtime.Channel("orders:{id}")
status = orders.topic("status", Status)
note = orders.topic("note", str)


def tell(colour: str) -> Any:
    async def body(ctx: Any) -> Any:
        topic = status(id=ctx.event.data["id"])
        await ctx.step.realtime.publish("tell", topic, Status("begun", 1))
        await ctx.step.run("work", lambda: 1)
        await ctx.step.realtime.publish("tell", topic, Status("ended", 2))

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body)]

    return make


async def listening(system: System) -> None:
    """Wait until somebody has subscribed."""
    while not system.executor.realtime.subscribers:
        await asyncio.sleep(0.01)


@pytest.mark.not_under(*regime.REPEATS, reason="a step that is executed again publishes again")
@pytest.mark.parametrize("colour", COLOURS)
async def test_what_steps_publish_reaches_a_subscriber_once_and_typed(colour: str) -> None:
    async with sdk_system(tell(colour)) as system:
        messages = realtime.subscribe(system.client, status(id=7))
        first = asyncio.ensure_future(anext(messages))
        await asyncio.wait_for(listening(system), PATIENCE)
        await system.send("shop/order", {"id": 8})
        run = await system.run_of(await system.send("shop/order", {"id": 7}))
        received = [await asyncio.wait_for(first, PATIENCE), await asyncio.wait_for(anext(messages), PATIENCE)]
        await messages.aclose()
        steps = (await system.trace(run["run_id"]))["steps"]

    assert [Status("begun", 1), Status("ended", 2)] == [message.data for message in received]
    assert "orders:7" == received[0].topic.channel
    assert {"type": "step.realtime.publish"} == steps[0]["detail"]
    assert "Completed" == run["status"]


async def test_publishing_in_production_needs_the_key_and_subscribing_a_token() -> None:
    settings: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"]}
    async with sdk_system(tell("sync"), **settings) as system:
        token = await realtime.subscription_token(system.client, status(id=7), note(id=7))
        assert ("orders:7", ["status", "note"]) == (token["channel"], token["topics"])

        query = {"channel": "orders:7", "topic": "note"}
        for bearer in ("nonsense", str(token["key"])):
            headers = {"authorization": f"Bearer {bearer}"}
            answer = await system.http.post("/v1/realtime/publish", params=query, content=b"1", headers=headers)
            assert 401 == answer.status_code
        publisher = make_token(system.executor.realtime.secret, [], system.executor.clock.now(), publish=True)
        headers = {"authorization": f"Bearer {publisher}"}
        answer = await system.http.post("/v1/realtime/publish", params=query, content=b"1", headers=headers)
        assert 200 == answer.status_code
        for wrong in ("", "nonsense", publisher):
            answer = await system.http.get("/v1/realtime/sse", params={"token": wrong}, headers={"authorization": ""})
            assert 401 == answer.status_code
        assert 401 == (await system.http.post("/v1/realtime/token", headers={"authorization": ""})).status_code


async def token_for(system: System, *topics: str) -> str:
    wanted = [{"channel": "news", "name": topic, "kind": "run"} for topic in topics]
    answer = await system.http.post("/v1/realtime/token", json=wanted)

    assert 201 == answer.status_code
    return str(answer.json()["jwt"])


async def publish(system: System, topic: str, content: Any, **headers: str) -> None:
    query = {"channel": "news", "topic": topic, "run_id": "01H"}
    answer = await system.http.post("/v1/realtime/publish", params=query, content=content, headers=headers)

    assert (200, b"") == (answer.status_code, answer.content)


async def test_a_socket_gets_messages_and_changes_what_it_wants(start: StartSystem) -> None:
    async with start() as system, aiohttp.ClientSession() as session:
        url = f"{system.http.base_url}/v1/realtime/connect?token={await token_for(system, 'a')}"
        async with session.ws_connect(url) as socket:
            await publish(system, "a", b'{"n":1}')
            first = await socket.receive_json(timeout=PATIENCE)
            await socket.send_str("nonsense")
            await socket.send_json({"kind": "sub", "data": "nonsense"})
            await socket.send_json({"kind": "sub", "data": await token_for(system, "b")})
            await socket.send_json({"kind": "unsub", "data": [{"channel": "news", "name": "a"}]})
            while ("news", "a") in system.executor.realtime.subscribers:
                await asyncio.sleep(0.01)
            await publish(system, "a", b"2")
            await publish(system, "b", b"no JSON")
            second = await socket.receive_json(timeout=PATIENCE)

        assert ("data", "news", "a", {"n": 1}, "01H") == tuple(
            first[key] for key in ("kind", "channel", "topic", "data", "run_id")
        )
        assert ("b", "no JSON") == (second["topic"], second["data"])
        while system.executor.realtime.subscribers:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
async def test_a_socket_without_token_is_refused(start: StartSystem, token: str) -> None:
    async with start() as system, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{system.http.base_url}/v1/realtime/connect?token={token}")

    assert 403 == caught.value.status


async def test_subscribers_are_told_when_the_server_stops(start: StartSystem) -> None:
    async with aiohttp.ClientSession() as session:
        async with start() as system:
            token = await token_for(system, "a")
            socket = await session.ws_connect(f"{system.http.base_url}/v1/realtime/connect?token={token}")
            stream = await session.get(f"{system.http.base_url}/v1/realtime/sse?token={token}")
        closing = await socket.receive_json(timeout=PATIENCE)
        rest = await asyncio.wait_for(stream.read(), PATIENCE)
        await socket.close()

    assert ({"kind": "closing"}, b":\n\n") == (closing, rest[:3])


async def test_a_stream_is_passed_on_in_pieces(start: StartSystem) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one "
        yield b"x" * 1500

    async with start() as system, aiohttp.ClientSession() as session:
        url = f"{system.http.base_url}/v1/realtime/connect?token={await token_for(system, 'a')}"
        async with session.ws_connect(url) as socket:
            await publish(system, "a", pieces(), **{"content-type": "text/stream"})
            received: list[dict[str, Any]] = []
            while not received or received[-1]["kind"] != "datastream-end":
                received.append(await socket.receive_json(timeout=PATIENCE))

    chunks = [message for message in received if message["kind"] == "chunk"]
    assert "one " + "x" * 1500 == "".join(chunk["data"] for chunk in chunks)
    assert {received[0]["data"]} == {chunk["stream_id"] for chunk in chunks} == {received[-1]["data"]}
    assert "datastream-start" == received[0]["kind"]


async def test_a_stream_ends_for_its_subscribers_when_the_publisher_hangs_up(start: StartSystem) -> None:
    async with start() as system, aiohttp.ClientSession() as session:
        url = f"{system.http.base_url}/v1/realtime/connect?token={await token_for(system, 'a')}"
        async with session.ws_connect(url) as socket:
            port = system.http.base_url.port
            _, publisher = await asyncio.open_connection("127.0.0.1", port)
            publisher.write(
                b"POST /v1/realtime/publish?channel=news&topic=a HTTP/1.1\r\nhost: x\r\n"
                b"content-type: text/stream\r\ncontent-length: 100\r\n\r\nhalf"
            )
            received = [await socket.receive_json(timeout=PATIENCE) for _ in range(2)]
            publisher.close()
            received.append(await socket.receive_json(timeout=PATIENCE))

    assert ["datastream-start", "chunk", "datastream-end"] == [message["kind"] for message in received]
    assert received[0]["data"] == received[2]["data"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/realtime/token", b"{}", 400),
        ("/v1/realtime/token", b"[]", 400),
        ("/v1/realtime/token", b'[{"channel":"a"}]', 400),
        ("/v1/realtime/publish?topic=a", b"1", 400),
        ("/v1/realtime/publish?channel=a", b"1", 400),
        ("/v1/realtime/publish?channel=a&topic=", b"1", 400),
        ("/v1/realtime/publish?channel=a&topic=a", b"1" * 600_000, 413),
    ],
)
async def test_what_cannot_be_published_is_refused(start: StartSystem, path: str, body: bytes, status: int) -> None:
    async with start() as system:
        assert status == (await system.http.post(path, content=body)).status_code


async def test_a_subscriber_that_does_not_read_is_dropped() -> None:
    broker = Broker(None)
    slow, quick = broker.subscribe([Topic("a", "news")]), broker.subscribe([Topic("a", "news")])
    for number in range(MOST_WAITING + 1):
        broker.publish("news", "a", b"%d" % number)
        await quick.take(1)

    assert (True, False) == (slow.is_closed, quick.is_closed)
    assert 1 == broker.publish("news", "a", b"more")


async def test_a_subscriber_for_whom_too_many_bytes_wait_is_dropped() -> None:
    broker = Broker(None)
    slow, quick = broker.subscribe([Topic("a", "news")]), broker.subscribe([Topic("a", "news")])
    message = bytes(MOST_WAITING_BYTES // 16)
    for _ in range(17):
        broker.publish("news", "a", message)
        await quick.take(1)

    assert (True, False) == (slow.is_closed, quick.is_closed)


NOW = 1_700_000_000.0


async def test_a_token_says_what_it_was_made_for() -> None:
    topics = [Topic("a", "news")]
    claims = read_token(b"secret", make_token(b"secret", topics, NOW), NOW + 59)

    assert (topics, False, "rt.inngest.com", int(NOW) + 60) == (claims.topics, claims.publish, claims.iss, claims.exp)


def forged(**header: str) -> str:
    from stepserve_core.executor import json_web_token

    signed = f"{json_web_token._encode(json.dumps(header).encode())}.{make_token(b'secret', [], NOW).split('.')[1]}"
    return f"{signed}.{json_web_token._encode(json_web_token._sign(b'secret', signed))}"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (make_token(b"other", [], NOW), "not made by this server"),
        (make_token(b"secret", [], NOW)[:-2] + "xx", "not made by this server"),
        (make_token(b"secret", [], NOW - 60), "time is over"),
        (forged(alg="none"), "another kind"),
        ("", "not made by this server"),
        ("é.é.é", "not made by this server"),
    ],
)
async def test_a_token_that_is_not_good_is_refused(token: str, message: str) -> None:
    with pytest.raises(TokenInvalidError, match=message):
        read_token(b"secret", token, NOW)


async def test_the_secret_of_tokens_survives_a_restart_where_there_is_a_key() -> None:
    assert Broker(KEY).secret == Broker(KEY).secret
    assert Broker(None).secret != Broker(None).secret


async def test_a_subscription_needs_a_token_that_is_not_too_old(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(clock=clock) as system:
        token = await token_for(system, "a")
        clock.advance(61)

        assert 401 == (await system.http.get("/v1/realtime/sse", params={"token": token})).status_code


async def test_the_reply_of_a_request_is_published_where_its_step_asks_for_it(start: StartSystem) -> None:
    def script(_: Call) -> Any:
        opts = {"url": f"{origin}/page", "body": {}, "publish": {"channel": "news", "topic": "a"}}
        return (yield Step("AIGateway", "ask", opts=opts))

    site = Site(page=(200, {}, b'{"answer":1}'))
    function = Fn("f", script, [{"event": "test/x"}])
    async with served(site) as origin, start(function) as system, aiohttp.ClientSession() as session:
        url = f"{system.http.base_url}/v1/realtime/connect?token={await token_for(system, 'a')}"
        async with session.ws_connect(url) as socket:
            run = await system.run_of(await system.send("test/x"))
            message = await socket.receive_json(timeout=PATIENCE)

    assert (run["run_id"], {"answer": 1}, run["output"]) == (message["run_id"], message["data"], {"answer": 1})
