"""Typed channels and topics, and what the SDK sends for them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import msgspec
import pytest

from stepserve_core import realtime
from stepserve_core.errors import OutputUnserializableError, ServerAPIError
from tests.core.calls import call, dev_client, hashed
from tests.core.colours import COLOURS
from tests.core.local_server import Reply, serving


@dataclasses.dataclass
class Status:
    """What a message carries."""

    done: int


status = realtime.Channel("orders:{id}").topic("status", Status)
untyped = realtime.Channel("news").topic("all")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_step_publishes_once(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.realtime.publish("tell", status(id=7), Status(3))

    with serving(Reply(200, b"")) as server:
        client = dev_client(api_base_url=server.origin)
        (op,) = call(colour, body, client=client).json
        done = call(colour, body, client=client, steps={hashed("tell"): {"data": None}})
        (request,) = server.requests

    opts = {"channel": "orders:7", "topic": "status", "type": "step.realtime.publish"}
    assert ("StepRun", None, opts) == (op["op"], op["data"], op["opts"])
    assert ("POST", "/v1/realtime/publish?channel=orders%3A7&topic=status", {"done": 3}) == (
        request.method,
        request.path,
        request.json(),
    )
    assert (200, None) == (done.status, done.json)


def test_a_subscription_token_is_for_topics_of_one_channel() -> None:
    with serving(Reply(201, b'{"jwt":"a.b.c"}')) as server:
        client = dev_client(api_base_url=server.origin)
        token = realtime.subscription_token_sync(client, status(id=7))
        (request,) = server.requests

    assert {"channel": "orders:7", "topics": ["status"], "key": "a.b.c"} == token
    assert [{"channel": "orders:7", "name": "status", "kind": "run"}] == request.json()
    for topics in ((), (status(id=7), status(id=8))):
        with pytest.raises(ValueError, match="one channel"):
            realtime.subscription_token_sync(client, *topics)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(404, b"404 page not found"), "does not offer /v1/realtime/publish"),
        (Reply(401, b"Authentication failed"), "HTTP 401 Authentication failed"),
    ],
)
def test_a_server_that_does_not_publish_is_an_error_that_says_why(reply: Reply, message: str) -> None:
    with serving(reply) as server, pytest.raises(ServerAPIError, match=message):
        realtime.publish_sync(dev_client(api_base_url=server.origin), untyped, {"n": 1})


def test_an_answer_that_is_no_token_is_an_error() -> None:
    with serving(Reply(201, b"hello")) as server, pytest.raises(ServerAPIError, match="no token"):
        realtime.subscription_token_sync(dev_client(api_base_url=server.origin), untyped)


@pytest.mark.parametrize(
    "wrong",
    [
        status,
        lambda: status(id=7, other=1),
        lambda: untyped(id=7),
        lambda: status.encode(Status(1)),
        lambda: realtime.Channel(""),
        lambda: realtime.Channel("news").topic(""),
        lambda: realtime.Channel("orders:{}").topic("a"),
    ],
)
def test_a_topic_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"channel|topic"):
        wrong()


def test_values_that_look_like_places_are_values() -> None:
    assert "orders:{id}" == status(id="{id}").channel
    assert b'{"done":1}' == status(id="{id}").encode(Status(1))


def test_data_that_does_not_fit_is_refused_on_both_sides() -> None:
    with pytest.raises(OutputUnserializableError, match="the message to news/all"):
        untyped.encode(object())
    with pytest.raises(ValueError, match="does not fit"):
        status(id=1).decode(msgspec.Raw(json.dumps({"done": "x"}).encode()))


def test_a_subscription_outlives_a_server_that_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    token, message = Reply(201, b'{"jwt":"a.b.c"}'), Reply(200, b'data: {"kind":"data","topic":"all","data":1}\n\n')
    with serving(token, message, Reply(drop=True), token, message) as server:
        client = dev_client(api_base_url=server.origin)

        async def scenario() -> list[object]:
            async def pause(seconds: float) -> None:
                pauses.append(seconds)

            monkeypatch.setattr(asyncio, "sleep", pause)
            messages = realtime.subscribe(client, untyped)
            received = [(await anext(messages)).data for _ in range(2)]
            await messages.aclose()
            return received

        received = asyncio.run(asyncio.wait_for(scenario(), 30))

    assert [1, 1] == received
    # One after the stream that ended, and one after the server that did not answer.
    assert [1.0, 1.0] == pauses


def test_a_subscription_that_cannot_begin_says_so() -> None:
    async def scenario(origin: str) -> None:
        await anext(realtime.subscribe(dev_client(api_base_url=origin), untyped))

    with serving(Reply(drop=True)) as server, pytest.raises(ServerAPIError, match="could not be reached"):
        asyncio.run(scenario(server.origin))
