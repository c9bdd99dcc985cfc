"""`group.experiment`, call by call and against a server that answers in any order (protocol.md 13.8)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import experiment
from tests.core.calls import call, define, dev_client, hashed, make_handler
from tests.core.colours import COLOURS, hook
from tests.core.driver import Server

CHOICE = hashed("price")


def pricing(select: Any = None) -> Any:
    async def body(ctx: Any) -> Any:
        async def old() -> str:
            return str(await ctx.step.run("ask", lambda: "old price"))

        async def new() -> str:
            await ctx.step.sleep("think", "1m")
            return str(await ctx.step.run("ask", lambda: "new price"))

        price = await ctx.group.experiment("price", variants={"old": old, "new": new}, select=select)
        return await ctx.step.run("after", lambda: f"{price} taken")

    return body


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (None, {"selection_strategy": "weighted", "variant_weights": {"old": 1, "new": 1}}),
        (experiment.fixed("new"), {"selection_strategy": "fixed", "variant": "new"}),
        (lambda: "old", {"selection_strategy": "custom", "variant": "old"}),
        (experiment.custom(lambda: "new"), {"selection_strategy": "custom", "variant": "new"}),
        (
            experiment.weighted({"old": 0, "new": 0.5}),
            {"selection_strategy": "weighted", "variant": "new", "variant_weights": {"old": 0, "new": 0.5}},
        ),
        (
            experiment.bucket("user-1", {"old": 2, "new": 0}),
            {"selection_strategy": "bucket", "variant": "old", "variant_weights": {"old": 2, "new": 0}},
        ),
    ],
)
@pytest.mark.parametrize("colour", COLOURS)
def test_the_choice_is_a_step_that_says_what_was_chosen(colour: str, select: Any, expected: dict[str, Any]) -> None:
    (op,) = call(colour, pricing(select)).json
    ((kind, scope, how, values),) = [tuple(entry.values()) for entry in op["metadata"]]

    assert ("StepRun", "price", {"type": "group.experiment"}) == (op["op"], op["displayName"], op["opts"])
    assert ("inngest.experiment", "step", "merge") == (kind, scope, how)
    fixed = {"name": "price", "available_variants": ["old", "new"], "variant": op["data"]}
    assert {**fixed, **expected} == values


@pytest.mark.parametrize("colour", COLOURS)
def test_steps_say_which_variant_they_belong_to(colour: str) -> None:
    select = experiment.fixed("new")
    belongs = {
        "experimentStepID": CHOICE,
        "experimentName": "price",
        "variant": "new",
        "selectionStrategy": "fixed",
    }
    (nap,) = call(colour, pricing(select), steps={CHOICE: {"data": "new"}}).json
    done = {CHOICE: {"data": "new"}, hashed("think"): {"data": None}}
    (asked,) = call(colour, pricing(select), steps=done).json
    (after,) = call(colour, pricing(select), steps={**done, hashed("ask"): {"data": "new price"}}).json

    assert ("Sleep", belongs) == (nap["op"], nap["opts"])
    assert ("StepRun", belongs, "new price") == (asked["op"], asked["opts"], asked["data"])
    assert (None, "new price taken") == (after["opts"], after["data"])


@pytest.mark.parametrize("colour", COLOURS)
def test_the_choice_is_made_once(colour: str) -> None:
    (op,) = call(colour, pricing(experiment.fixed("new")), steps={CHOICE: {"data": "old"}}).json

    assert ("ask", "old price") == (op["displayName"], op["data"])


def test_an_async_function_may_choose_asynchronously() -> None:
    async def choose() -> str:
        return "new"

    (op,) = call("async", pricing(choose)).json

    assert "new" == op["data"]


def test_a_sync_function_may_not_choose_asynchronously() -> None:
    async def choose() -> str:
        return "new"

    (op,) = call("sync", pricing(choose)).json

    assert "AsyncUnsupportedError" == op["error"]["name"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_choice_that_fails_is_tried_again_as_any_step(colour: str) -> None:
    def choose() -> str:
        raise OSError("no flags today")

    (op,) = call(colour, pricing(choose)).json

    assert ("StepError", "no flags today") == (op["op"], op["error"]["message"])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("chosen", ["blue", None])
def test_a_choice_that_is_no_variant_fails_the_run_at_once(colour: str, chosen: Any) -> None:
    reply = call(colour, pricing(lambda: chosen))

    assert (500, "true") == (reply.status, reply.headers["x-inngest-no-retry"])
    assert f"the experiment 'price' has no variant {chosen!r}; it has old, new" == reply.json["message"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_run_whose_variant_was_removed_waits_for_the_next_deploy(colour: str) -> None:
    reply = call(colour, pricing(), steps={CHOICE: {"data": "removed"}})

    assert (500, "MemoMismatchError") == (reply.status, reply.json["name"])
    assert "x-inngest-no-retry" not in reply.headers or reply.headers["x-inngest-no-retry"] == "false"
    assert "the variant 'removed' of the experiment 'price'" in reply.json["message"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_variant_without_steps_fails_the_run_at_once(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        async def nothing() -> str:
            return "nothing"

        await ctx.step.run("before", lambda: 1)
        return await ctx.group.experiment("price", variants={"only": nothing})

    reply = call(colour, body, steps={hashed("before"): {"data": 1}, CHOICE: {"data": "only"}})

    assert (500, "true") == (reply.status, reply.headers["x-inngest-no-retry"])
    assert "the variant 'only' of the experiment 'price' has no step" in reply.json["message"]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("variants", "select", "message"),
    [
        ({}, None, "at least one variant"),
        ({"a": None}, experiment.weighted({"b": 1}), "a weight is given for 'b', which is no variant of 'price'"),
        ({"a": None}, "a", "select must be a callable or a Selection, not str"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(colour: str, variants: Any, select: Any, message: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.group.experiment("price", variants=variants, select=select)

    assert message in call(colour, body).json["message"]


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("inf")}, {"a": "1"}])
def test_weights_must_make_sense(weights: Any) -> None:
    with pytest.raises(ValueError, match="weights are numbers from 0 on"):
        experiment.weighted(weights)
    with pytest.raises(ValueError, match="weights are numbers from 0 on"):
        experiment.bucket(7, weights)


def test_buckets_are_stable_and_follow_the_weights() -> None:
    weights = {"old": 3, "new": 1}
    chosen = [experiment.bucket(user, weights).choose() for user in range(1000)]

    assert chosen == [experiment.bucket(str(user), weights).choose() for user in range(1000)]
    assert 200 < chosen.count("new") < 300


@pytest.mark.parametrize("colour", COLOURS)
def test_experiments_in_parallel_keep_their_steps_apart(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        def trial(name: str) -> Any:
            async def steps() -> str:
                return str(await ctx.step.run(f"{name} step", lambda: name))

            return lambda: ctx.group.experiment(name, variants={"v": steps})

        return await ctx.group.parallel((trial("x"), trial("y")))

    server = Server(make_handler(dev_client(), define(dev_client(), colour, body)), entry=_entry(colour))
    outcome = server.run()
    ops = [op for reply in server.replies if reply.status == 206 for op in reply.json]

    assert ["x", "y"] == outcome.output
    assert {("x step", "x"), ("y step", "y")} == {
        (op["displayName"], op["opts"]["experimentName"]) for op in ops if "experimentName" in (op["opts"] or {})
    }


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("seed", range(5))
def test_a_run_comes_to_its_end_whatever_is_chosen(colour: str, seed: int) -> None:
    client = dev_client()
    handler = make_handler(client, define(client, colour, pricing()))
    outcome = Server(handler, entry=_entry(colour), random=Random(seed)).run()

    assert outcome.output in ("old price taken", "new price taken")


@pytest.mark.parametrize("colour", COLOURS)
def test_middleware_sees_the_choice_and_its_variant(colour: str) -> None:
    seen: list[Any] = []

    class Seeing(core.Middleware):
        transform_output = hook(colour, lambda _, result: seen.append((result.step.opts, result.output)))

    call(colour, pricing(experiment.fixed("old")), client=dev_client(middleware=[Seeing]))

    assert [({"type": "group.experiment"}, "old")] == seen


def _entry(colour: str) -> str:
    return "handle" if colour == "sync" else "ahandle"
