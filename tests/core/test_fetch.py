"""`step.fetch`, the httpx transports over it, and `step.ai.wrap`."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import httpx
import pytest

import stepserve_core as core
from tests.core.calls import call, call_body, dev_client, hashed, make_handler, post, read
from tests.core.colours import COLOURS

REPLY = {
    "url": "http://x/last",
    "status_code": 201,
    "headers": {"Content-Type": "text/plain; charset=latin-1"},
    "body": "é",
}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_fetch_asks_the_server_for_a_request(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.fetch(
            "page", "http://x/a?b=1", method="post", headers={"X-A": "1"}, params={"c": 2}, json={"d": 3}
        )

    (op,) = call(colour, body).json

    assert {
        "data": None,
        "displayName": "page",
        "id": hashed("page"),
        "name": "page",
        "op": "Gateway",
        "opts": {
            "body": '{"d":3}',
            "headers": {"content-type": "application/json", "x-a": "1"},
            "method": "POST",
            "type": "step.fetch",
            "url": "http://x/a?b=1&c=2",
        },
        "userland": {"id": "page", "index": None},
    } == op


@pytest.mark.parametrize("colour", COLOURS)
def test_the_memo_of_a_fetch_is_a_response(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        response = await ctx.step.fetch("page", "http://x")
        return [response.status_code, response.headers, response.body, response.is_success, response.url]

    expected = [201, {"content-type": "text/plain; charset=latin-1"}, "é", True, "http://x/last"]

    assert expected == call(colour, body, steps={hashed("page"): {"data": REPLY}}).json


@pytest.mark.parametrize("colour", COLOURS)
def test_a_fetch_that_failed_for_good_raises_a_step_error(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        try:
            await ctx.step.fetch("page", "http://x")
        except core.StepError as error:
            return [error.name, error.message]

    memo = {"error": {"name": "GatewayError", "message": "nobody answered"}}

    assert ["GatewayError", "nobody answered"] == call(colour, body, steps={hashed("page"): memo}).json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"body": b"\xff"}, "must be text"), ({"body": "a", "json": 1}, "not both"), ({"json": object()}, "step.fetch")],
)
def test_a_body_that_cannot_be_sent_is_refused(arguments: dict[str, Any], message: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.fetch("page", "http://x", **arguments)

    reply = call("sync", body)

    assert 500 == reply.status
    assert message in reply.json["message"]


def test_a_memo_that_is_no_response_is_an_error_that_says_so() -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.fetch("page", "http://x")

    reply = call("sync", body, steps={hashed("page"): {"data": 3}})

    assert "something else than a response" in reply.json["message"]


def ask_twice_sync(ctx: core.ContextSync) -> Any:
    with httpx.Client(transport=core.fetch_transport(ctx.step)) as client:
        first = client.post("http://shop.test/a", content="né", headers={"X-A": "1"})
        second = client.get("http://shop.test/b")
    return [first.status_code, first.text, second.text]


async def ask_twice_async(ctx: core.Context) -> Any:
    async with httpx.AsyncClient(transport=core.fetch_transport(ctx.step)) as client:
        first, second = await asyncio.gather(
            client.post("http://shop.test/a", content="né", headers={"X-A": "1"}), client.get("http://shop.test/b")
        )
    return [first.status_code, first.text, second.text]


def serve_function(body: Any, entry: str, steps: dict[str, Any]) -> Any:
    client = dev_client()
    function: Any = client.create_function(fn_id="f", trigger=core.TriggerEvent(event="shop/order"))(body)
    request = post("app-f", json.dumps(call_body(steps=steps)).encode())
    handler = make_handler(client, function)
    return read(handler.handle(request) if entry == "handle" else asyncio.run(handler.ahandle(request)))


def test_requests_of_a_sync_httpx_client_are_steps() -> None:
    (op,) = serve_function(ask_twice_sync, "handle", {}).json

    assert ("Gateway", "step.fetch: shop.test", "né") == (op["op"], op["displayName"], op["opts"]["body"])
    assert ("POST", "http://shop.test/a", "1") == (
        op["opts"]["method"],
        op["opts"]["url"],
        op["opts"]["headers"]["x-a"],
    )
    assert {"host", "content-length", "connection"} & set(op["opts"]["headers"]) == set()


def test_requests_of_an_async_httpx_client_are_parallel_steps() -> None:
    ops = serve_function(ask_twice_async, "ahandle", {}).json

    assert ["http://shop.test/a", "http://shop.test/b"] == sorted(op["opts"]["url"] for op in ops)
    assert [None, 1] == sorted((op["userland"]["index"] for op in ops), key=lambda index: index or 0)


@pytest.mark.parametrize(("body", "entry"), [(ask_twice_sync, "handle"), (ask_twice_async, "ahandle")])
def test_httpx_gets_the_responses_of_the_steps_in_utf_8(body: Any, entry: str) -> None:
    name = "step.fetch: shop.test"
    steps = {hashed(name): {"data": REPLY}, hashed(f"{name}:1"): {"data": {**REPLY, "body": "two"}}}

    assert [201, "é", "two"] == serve_function(body, entry, steps).json


def test_a_transport_is_made_of_steps_only() -> None:
    with pytest.raises(TypeError, match=r"ctx\.step"):
        core.fetch_transport(object())  # type: ignore[call-overload] # what a user may do wrong


@pytest.mark.parametrize("colour", COLOURS)
def test_a_wrapped_call_to_a_model_shows_its_input(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        return await ctx.step.ai.wrap("ask", lambda prompt, n: [prompt] * n, "hi", 2)

    (op,) = call(colour, body).json
    (planned,) = call(colour, body, plan_only=True).json

    assert ("StepRun", ["hi", "hi"]) == (op["op"], op["data"])
    assert ("StepPlanned", {"input": ["hi", 2], "type": "step.ai.wrap"}) == (planned["op"], planned["opts"])
    assert planned["opts"] == op["opts"]
    assert 7 == call(colour, body, steps={hashed("ask"): {"data": 7}}).json


@pytest.mark.parametrize("colour", COLOURS)
def test_a_wrapped_call_runs_with_edited_input(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        return await ctx.step.ai.wrap("ask", lambda prompt, n: [prompt] * n, "hi", 2)

    (op,) = call(colour, body, steps={hashed("ask"): {"input": ["edited", 1]}}, stack=[]).json

    assert (["edited"], ["edited", 1]) == (op["data"], op["opts"]["input"])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_is_made_with_edited_input(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.fetch("page", "http://x", method="POST", body="old")

    (op,) = call(colour, body, steps={hashed("page"): {"input": ["new"]}}, stack=[]).json

    assert "new" == op["opts"]["body"]


@pytest.mark.parametrize("colour", COLOURS)
def test_an_input_that_json_cannot_carry_says_what_to_do(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.ai.wrap("ask", lambda prompt, model: prompt, "hi", object())

    reply = call(colour, body)

    assert (500, "true") == (reply.status, reply.headers["x-inngest-no-retry"])
    assert "step 'ask' was given" in reply.json["message"]
    assert "functools.partial" in reply.json["message"]


@pytest.mark.parametrize("colour", COLOURS)
def test_what_partial_binds_is_not_shown(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        def ask(model: Any, prompt: str) -> str:
            return f"{prompt} {type(model).__name__}"

        return await ctx.step.ai.wrap("ask", functools.partial(ask, object()), "hi")

    (op,) = call(colour, body).json

    assert ("hi object", ["hi"]) == (op["data"], op["opts"]["input"])
