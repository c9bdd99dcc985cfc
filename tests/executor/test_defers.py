"""Deferred functions: from the SDK through the executor to the function that was deferred."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve import Function, Inngest, TriggerDeferred
from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, sleep
from tests.executor.sdk_system import sdk_system

pytestmark = pytest.mark.anyio

ON_X = [{"event": "test/x"}]
SCHEDULE = "inngest/deferred.schedule"


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_deferred_function_runs_when_the_run_has_ended(colour: str) -> None:
    order: list[str] = []

    def make(client: Inngest) -> list[Function[Any]]:
        async def clean(ctx: Any) -> Any:
            order.append(f"cleaned {ctx.event.data['n']}")
            return ctx.event.data["_inngest"]["parent_fn_slug"]

        cleaning = define(client, colour, clean, fn_id="clean", trigger=TriggerDeferred())

        async def body(ctx: Any) -> Any:
            step = getattr(ctx.step, "_inner", ctx.step)
            step.defer("first", function=cleaning, data={"n": 1})
            kept = step.defer("second", function=cleaning, data={"n": 2})
            await ctx.step.run("a", lambda: order.append("a"))
            kept.abort()
            step.defer("third", function=cleaning, data={"n": 3})
            order.append("end")
            return "done"

        return [cleaning, define(client, colour, body)]

    async with sdk_system(make) as system:
        run = await system.run_of(await system.send("shop/order"))
        events = await system.events(SCHEDULE)
        outcomes = [await system.outcome(event["internal_id"]) for event in events]
        known = (await system.trace(run["run_id"]))["defers"]

    assert ("Completed", "done") == (run["status"], run["output"])
    assert ["a", "end", "cleaned 1", "cleaned 3"] == [*order[:2], *sorted(order[2:])]
    assert [("Completed", "app-f")] * 2 == outcomes
    assert [run["run_id"]] * 2 == [event["data"]["_inngest"]["parent_run_id"] for event in events]
    statuses = {defer["name"]: (defer["function"], defer["status"]) for defer in known}
    assert {
        "first": ("app-clean", "Scheduled"),
        "second": ("app-clean", "Aborted"),
        "third": ("app-clean", "Scheduled"),
    } == statuses


def defer(name: str, content: Any = None, slug: str = "app-g") -> dict[str, Any]:
    return {
        "op": "DeferAdd",
        "id": hash_id(name),
        "displayName": name,
        "opts": {"fn_slug": slug, "input": content or {}},
    }


def nap(_: Call) -> Generator[Any, Any, Any]:
    yield sleep("nap", "1h")


def deferred(call: Call) -> Generator[Any, Any, Any]:
    return call.event["data"].get("n")
    yield


G = Fn("g", deferred, [{"event": SCHEDULE, "expression": "event.data._inngest.fn_slug == 'app-g'"}])


def then_nap(*ops: dict[str, Any]) -> Any:
    """Defer with the first answer, then sleep."""

    def answer(call: Call) -> Response:
        napping = {"op": "Sleep", "id": hash_id("nap"), "name": "1h"}
        return reply(206, [napping, *ops]) if not call.memos else reply(200, "woke")

    return answer


async def test_a_call_says_which_defers_are_known_and_can_be_aborted(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X), G, clock=VirtualClock()) as system:
        abort = {"op": "DeferAbort", "id": hash_id("x"), "opts": {"target_hashed_id": hash_id("b"), "fn_slug": "app-g"}}
        system.app.replies["f"] = then_nap(defer("a"), defer("b"), abort)
        await system.send("test/x")
        await system.idle()
        await system.advance(3600)

        assert {} == system.app.calls[0].body["defers"]
        assert {hash_id("a"): {"abortable": True}, hash_id("b"): {"abortable": False}} == (
            system.app.calls_of("f")[1].body["defers"]
        )
        assert 1 == len(await system.events(SCHEDULE))


async def test_the_same_defer_twice_is_one(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X), G, clock=VirtualClock()) as system:
        system.app.replies["f"] = then_nap(defer("a", {"n": 1}), defer("a", {"n": 2}))
        await system.send("test/x")
        await system.idle()
        await system.advance(3600)
        (event,) = await system.events(SCHEDULE)

        assert 1 == event["data"]["n"]


async def test_what_breaks_a_limit_is_rejected_and_the_run_goes_on(start: StartSystem) -> None:
    large = {"text": "x" * 2_500_000}
    async with start(Fn("f", nap, ON_X), G, clock=VirtualClock()) as system:
        ops = [defer("large", large), defer("too much", large), *(defer(f"d{n}") for n in range(25))]
        system.app.replies["f"] = then_nap(*ops, defer("nobody", slug=""))
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        statuses = {entry["name"]: entry["status"] for entry in (await system.trace(run_id))["defers"]}
        await system.advance(3600)

        assert ("Scheduled", "Rejected", "Rejected") == (statuses["large"], statuses["too much"], statuses["nobody"])
        assert 20 == sum(status == "Scheduled" for status in statuses.values())
        assert 20 == len(await system.events(SCHEDULE))


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_defers_are_started_however_the_run_ended(start: StartSystem, ending: str) -> None:
    async with start(Fn("f", nap, ON_X, retries=0), G, clock=VirtualClock()) as system:
        system.app.replies["f"] = then_nap(defer("a", {"n": 5}))
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        if ending == "cancelled":
            await system.executor.cancel(run_id)
            await system.idle()
        else:
            system.app.replies["f"] = lambda _: reply(500, {"message": "broken", "name": "Error"})
            await system.advance(3600)
        (event,) = await system.events(SCHEDULE)

        assert ("Completed", 5) == await system.outcome(event["internal_id"])


async def test_defers_survive_a_restart(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(Fn("f", nap, ON_X), G, clock=clock) as system:
        system.app.replies["f"] = then_nap(defer("a", {"n": 6}))
        await system.send("test/x")
        await system.idle()
    async with start(Fn("f", nap, ON_X), G, clock=clock) as system:
        await system.advance(3600)
        (event,) = await system.events(SCHEDULE)

        assert ("Completed", 6) == await system.outcome(event["internal_id"])
