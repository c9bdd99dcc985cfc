"""Encryption under both packages: what one encrypts, the other reads (protocol.md 9.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

import stepserve
import stepserve.flask
from stepserve.encryption import EncryptionMiddleware
from tests.core import local_server
from tests.core.calls import call_body, hashed

inngest = pytest.importorskip("inngest", reason="the official package is not installed")
pytest.importorskip("inngest.flask", reason="Flask is not installed")
inngest_encryption = pytest.importorskip("inngest_encryption", reason="the official middleware is not installed")

# The official client never closes its connections.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SDKS = {
    "official": (inngest, inngest.flask, inngest_encryption.EncryptionMiddleware),
    "ours": (stepserve, stepserve.flask, EncryptionMiddleware),
}
HEX = b"27de66c60d4aa0d3dec6674ea66e093a90e38155cbac50512ac021ee8d63e9d2"
VALUES = [None, 0, -1.5, "text", "é 😀", True, [], {}, [1, {"a": [None]}], {"__ENCRYPTED__": False}, 2**53]
KEYS = [("secret", "secret"), (HEX, HEX), ("my-secret", HEX), (HEX, "my-secret")]


def post(package: str, key: Any, handler: Any, *, origin: str | None = None, **fields: Any) -> Any:
    """Call a function with the middleware of one package; return the body of the answer."""
    from flask import Flask

    sdk, framework, middleware = SDKS[package]
    client = sdk.Inngest(
        app_id="app", is_production=False, event_api_base_url=origin, middleware=[middleware.factory(key)]
    )
    app = Flask("app")
    framework.serve(app, client, [client.create_function(fn_id="f", trigger=sdk.TriggerEvent(event="e"))(handler(sdk))])
    reply = app.test_client().post("/api/inngest?fnId=app-f&stepId=step", data=json.dumps(call_body(**fields)))

    assert reply.status_code in (200, 206), reply.data
    return json.loads(reply.data)


@pytest.mark.parametrize(("writer", "reader"), [("official", "ours"), ("ours", "official"), ("ours", "ours")])
@pytest.mark.parametrize("keys", KEYS)
def test_a_step_written_by_one_is_read_by_the_other(writer: str, reader: str, keys: tuple[Any, Any]) -> None:
    for value in VALUES:
        told: list[Any] = []
        (op,) = post(writer, keys[0], lambda sdk, v=value: lambda ctx: ctx.step.run("a", lambda: v))
        steps = {hashed("a"): {"data": op["data"]}}
        post(reader, keys[1], lambda sdk, t=told: lambda ctx: t.append(ctx.step.run("a", lambda: "new")), steps=steps)

        assert [value] == told
        assert op["data"]["data"] not in json.dumps(value)


@pytest.mark.parametrize(("writer", "reader"), [("official", "ours"), ("ours", "official")])
def test_an_event_sent_by_one_is_read_by_the_other(writer: str, reader: str) -> None:
    data = {"encrypted": {"card": "4242", "é": [1]}, "order": 7}
    with local_server.serving(local_server.Reply(200, b'{"ids":["1"],"status":200}')) as server:
        post(
            writer,
            "secret",
            lambda sdk: lambda ctx: ctx.step.send_event("a", sdk.Event(name="x", data=data)),
            origin=server.origin,
        )
    (sent,) = json.loads(server.requests[0].body)
    told: list[Any] = []
    post(reader, "secret", lambda sdk: lambda ctx: told.append(dict(ctx.event.data)), event=sent)

    assert {"card", "4242"} & set(json.dumps(sent).split('"')) == set()
    assert [data] == told


@pytest.mark.parametrize(("writer", "reader"), [("official", "ours"), ("ours", "official")])
def test_an_invocation_by_one_is_read_by_the_other(writer: str, reader: str) -> None:
    data = {"encrypted": {"card": "4242"}, "order": 7}
    (op,) = post(writer, "secret", lambda sdk: lambda ctx: ctx.step.invoke_by_id("a", function_id="g", data=data))
    told: list[Any] = []
    event = {"name": "inngest/function.invoked", "id": "1", "ts": 1, "data": op["opts"]["payload"]["data"]}
    post(reader, "secret", lambda sdk: lambda ctx: told.append(dict(ctx.event.data)), event=event)

    assert [data] == told


@pytest.mark.parametrize(("writer", "reader"), [("official", "ours"), ("ours", "official")])
def test_an_output_of_one_given_as_an_event_is_read_by_the_other(writer: str, reader: str) -> None:
    output = post(writer, "secret", lambda sdk: lambda ctx: {"a": 1, "_inngest": "inner"})
    told: list[Any] = []
    event = {"name": "e", "id": "1", "ts": 1, "data": {**output, "_inngest": "outer", "more": 1}}
    post(reader, "secret", lambda sdk: lambda ctx: told.append(dict(ctx.event.data)), event=event)

    assert [{"a": 1, "_inngest": "inner", "more": 1}] == told


def test_we_encrypt_invocations_in_groups_which_the_official_middleware_leaves_readable() -> None:
    def handler(sdk: Any) -> Any:
        def invoke(ctx: Any, name: str) -> Any:
            return lambda: ctx.step.invoke_by_id(name, function_id="g", data={"encrypted": "4242"})

        return lambda ctx: ctx.group.parallel((invoke(ctx, "a"), invoke(ctx, "b")))

    official, ours = (
        [op["opts"]["payload"]["data"]["encrypted"] for op in post(package, "secret", handler)] for package in SDKS
    )

    assert ["4242", "4242"] == official
    assert [True, True] == [value["__ENCRYPTED__"] for value in ours]
