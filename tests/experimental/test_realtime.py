"""Publishing to browsers, and tokens to subscribe with (protocol.md 10.10 and 13.7)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

import stepserve
from stepserve.experimental import realtime
from tests.core.local_server import Reply, serving

KEY = "signkey-test-0123456789abcdef"
BEARER = "Bearer " + hashlib.sha256(bytes.fromhex("0123456789abcdef")).hexdigest()


def client_of(origin: str) -> stepserve.Inngest:
    """Return a client of the server at `origin`."""
    return stepserve.Inngest(app_id="app", api_base_url=origin, signing_key=KEY, is_production=True)


def publish(colour: str, *arguments: Any) -> None:
    """Publish in a colour."""
    if colour == "sync":
        realtime.publish_sync(*arguments)
    else:
        asyncio.run(realtime.publish(*arguments))


def token(colour: str, *arguments: Any) -> Any:
    """Ask for a token in a colour."""
    if colour == "sync":
        return realtime.get_subscription_token_sync(*arguments)
    return asyncio.run(realtime.get_subscription_token(*arguments))


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    """Run a test in both colours."""
    return str(request.param)


def test_data_is_published_to_a_topic_of_a_channel(colour: str) -> None:
    with serving(Reply(200, b"")) as server:
        publish(colour, client_of(server.origin), "user:1 & co", "ai", {"text": "Grüße"})

    (request,) = server.requests
    assert ("POST", "/v1/realtime/publish?channel=user%3A1+%26+co&topic=ai") == (request.method, request.path)
    assert ({"text": "Grüße"}, BEARER) == (request.json(), request.headers["authorization"])


def test_a_token_is_for_topics_of_a_channel(colour: str) -> None:
    with serving(Reply(201, b'{"jwt":"a.b.c"}')) as server:
        subscription = token(colour, client_of(server.origin), "user:1", ["ai", "db"])

    (request,) = server.requests
    assert {"channel": "user:1", "topics": ["ai", "db"], "key": "a.b.c"} == subscription
    assert "/v1/realtime/token" == request.path
    assert [
        {"channel": "user:1", "name": "ai", "kind": "run"},
        {"channel": "user:1", "name": "db", "kind": "run"},
    ] == request.json()


def test_what_the_server_refuses_is_an_error(colour: str) -> None:
    with serving(Reply(400, b"no such thing")) as server:
        client = client_of(server.origin)
        with pytest.raises(stepserve.errors.Error, match="HTTP 400 no such thing"):
            publish(colour, client, "c", "t", {})
        with pytest.raises(stepserve.errors.Error, match="HTTP 400 no such thing"):
            token(colour, client, "c", ["t"])


def test_what_is_no_token_is_an_error(colour: str) -> None:
    with (
        serving(Reply(201, b"{}")) as server,
        pytest.raises(stepserve.errors.Error, match="something that is no token"),
    ):
        token(colour, client_of(server.origin), "c", ["t"])


def test_a_server_that_is_not_there_is_an_error(colour: str) -> None:
    with serving(Reply()) as server:
        origin = server.origin
    with pytest.raises(stepserve.errors.Error, match="could not be reached"):
        publish(colour, client_of(origin), "c", "t", {})
