"""Deferred functions, as the SDK asks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import stepserve_core as core
from tests.core.calls import call_body, define, dev_client, hashed, make_handler, post, serve
from tests.core.colours import COLOURS

ADD = {
    "data": None,
    "displayName": "later",
    "id": hashed("later"),
    "name": "later",
    "op": "DeferAdd",
    "opts": {"fn_slug": "app-clean", "input": {"n": 1}},
    "userland": {"id": "later", "index": None},
}
ABORT = {"fn_slug": "app-clean", "target_hashed_id": hashed("later")}


async def defer_and_return(ctx: Any) -> Any:
    ctx.defer("later", function="app-clean", data={"n": 1})
    return {"r": 1}


def call(colour: str, body: Any, *, defers: Any = None, **fields: Any) -> Any:
    """Call `body` with a `ctx.defer` that is `ctx.step.defer`, which is not awaited, in whatever colour."""

    async def wrapped(ctx: Any) -> Any:
        step = getattr(ctx.step, "_inner", ctx.step)
        ctx.defer = step.defer
        return await body(ctx)

    client = dev_client()
    handler = make_handler(client, define(client, colour, wrapped))
    content = {**call_body(**fields), "defers": {} if defers is None else defers}
    if defers == "unknown":
        del content["defers"]
    return serve(
        handler, post("app-f", json.dumps(content).encode()), entry="handle" if colour == "sync" else "ahandle"
    )


@pytest.mark.parametrize("colour", COLOURS)
def test_a_defer_goes_out_with_the_result(colour: str) -> None:
    reply = call(colour, defer_and_return)

    assert 206 == reply.status
    add, end = reply.json
    assert ADD == add
    assert ("RunComplete", hashed("complete"), {"r": 1}) == (end["op"], end["id"], end["data"])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_defer_goes_out_with_a_step(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        ctx.defer("later", function="app-clean", data={"n": 1})
        await ctx.step.run("a", lambda: 1)

    step, add = call(colour, body).json

    assert ("StepRun", ADD) == (step["op"], add)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("abortable", [True, False])
def test_a_defer_that_the_server_knows_is_not_sent_again(colour: str, abortable: bool) -> None:
    reply = call(colour, defer_and_return, defers={hashed("later"): {"abortable": abortable}})

    assert (200, {"r": 1}) == (reply.status, reply.json)


async def defer_and_abort(ctx: Any) -> Any:
    deferred = ctx.defer("later", function="app-clean", data={"n": 1})
    deferred.abort()
    deferred.abort()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("known", "sent"),
    [({}, ["DeferAdd", "DeferAbort"]), ({"abortable": True}, ["DeferAbort"]), ({"abortable": False}, [])],
)
def test_a_defer_is_taken_back_once(colour: str, known: dict[str, bool], sent: list[str]) -> None:
    reply = call(colour, defer_and_abort, defers={hashed("later"): known} if known else {})
    lazy = [op for op in reply.json or [] if op["op"] != "RunComplete"]

    assert sent == [op["op"] for op in lazy]
    assert all(op["opts"] == ABORT for op in lazy if op["op"] == "DeferAbort")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_server_without_defers_is_an_error_that_is_not_retried(colour: str) -> None:
    reply = call(colour, defer_and_return, defers="unknown")

    assert (500, "true", "unsupported_by_server") == (
        reply.status,
        reply.headers["x-inngest-no-retry"],
        reply.json["code"],
    )


def test_an_id_can_be_deferred_once() -> None:
    async def body(ctx: Any) -> Any:
        ctx.defer("later", function="app-clean")
        ctx.defer("later", function="app-other")

    assert "deferred twice" in call("sync", body).json["message"]


def test_data_that_json_cannot_carry_is_refused_where_it_is_deferred() -> None:
    async def body(ctx: Any) -> Any:
        try:
            ctx.defer("later", function="app-clean", data={"x": object()})
        except core.errors.OutputUnserializableError as error:
            return str(error)

    assert "the data deferred as 'later'" in call("sync", body).json


def test_a_function_is_deferred_under_its_full_id_and_has_its_own_trigger() -> None:
    client = dev_client()
    clean = define(client, "sync", defer_and_return, fn_id="clean", trigger=core.TriggerDeferred())

    async def body(ctx: Any) -> Any:
        ctx.defer("later", function=clean, data={"n": 1})

    assert ADD == call("sync", body).json[0]
    trigger = {"event": "inngest/deferred.schedule", "expression": "event.data._inngest.fn_slug == 'app-clean'"}
    assert [trigger] == clean.get_config("http://x").main["triggers"]
