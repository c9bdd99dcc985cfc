"""Steps that the official SDK lacks, end to end: our SDK and our executor over HTTP, in both colours."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

import stepserve
from stepserve import Function, Inngest, experiment
from stepserve_core.executor.clock import VirtualClock
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.raw_app import served
from tests.executor.sdk_system import sdk_system
from tests.executor.test_gateway import Site

pytestmark = pytest.mark.anyio


def one(colour: str, body: Any) -> Any:
    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, colour, body, retries=1)]

    return make


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_fetch_goes_through_the_executor(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        response = await ctx.step.fetch("page", ctx.event.data["url"], method="POST", json={"n": 1})
        return [response.status_code, response.json(), response.url]

    site = Site(page=(201, {"content-type": "application/json"}, b'{"ok":true}'))
    async with served(site) as origin, sdk_system(one(colour, body)) as system:
        outcome = await system.outcome(await system.send("shop/order", {"url": f"{origin}/page"}))

    assert ("Completed", [201, {"ok": True}, f"{origin}/page"]) == outcome
    assert [("POST", b'{"n":1}')] == [(method, sent) for method, _, _, sent in site.requests]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_fetch_that_fails_for_good_is_a_step_error(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        try:
            await ctx.step.fetch("page", "http://169.254.169.254/latest/meta-data")
        except stepserve.StepError as error:
            return [error.name, "metadata services are closed" in error.message]

    async with sdk_system(one(colour, body)) as system:
        assert ("Completed", ["GatewayError", True]) == await system.outcome(await system.send("shop/order"))


async def test_requests_of_httpx_clients_go_through_the_executor() -> None:
    def make(client: Inngest) -> list[Function[Any]]:
        @client.create_function(fn_id="sync", trigger=stepserve.TriggerEvent(event="shop/sync"))
        def sync_one(ctx: stepserve.ContextSync) -> str:
            with httpx.Client(transport=stepserve.fetch_transport(ctx.step)) as http:
                return http.get(str(ctx.event.data["url"])).text

        @client.create_function(fn_id="async", trigger=stepserve.TriggerEvent(event="shop/async"))
        async def async_one(ctx: stepserve.Context) -> str:
            async with httpx.AsyncClient(transport=stepserve.fetch_transport(ctx.step)) as http:
                return (await http.get(str(ctx.event.data["url"]))).raise_for_status().text

        return [sync_one, async_one]

    site = Site(page=(200, {"content-type": "text/plain; charset=latin-1"}, "né".encode("latin-1")))
    async with served(site) as origin, sdk_system(make) as system:
        for name in ("shop/sync", "shop/async"):
            outcome = await system.outcome(await system.send(name, {"url": f"{origin}/page"}))

            assert ("Completed", "né") == outcome
    assert 2 == len(site.requests)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_wrapped_call_shows_its_input_and_its_output(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        return await ctx.step.ai.wrap("ask", lambda prompt: {"answer": prompt.upper()}, "hi")

    async with sdk_system(one(colour, body)) as system:
        run = await system.run_of(await system.send("shop/order"))
        step = (await system.trace(run["run_id"]))["steps"][0]

    assert {"input": ["hi"], "type": "step.ai.wrap"} == step["detail"]
    assert {"answer": "HI"} == step["output"] == run["output"]


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("wait", "winner"), [(30, "paid yes"), (120, "too late")])
async def test_a_race_between_a_signal_and_a_sleep(colour: str, wait: float, winner: str) -> None:
    async def body(ctx: Any) -> Any:
        async def paid() -> str:
            signal = await ctx.step.wait_for_signal("paid", signal="paid", timeout="1h")
            return str(await ctx.step.run("note", lambda: f"paid {signal.data}"))

        async def late() -> str:
            await ctx.step.sleep("nap", "1m")
            return "too late"

        won = await ctx.group.race(paid, late)
        return await ctx.step.run("after", lambda: won)

    async with sdk_system(one(colour, body), clock=VirtualClock(time.time())) as system:
        event_id = await system.send("shop/order")
        await system.idle()
        await system.advance(wait)
        await system.client.send_signal("paid", "yes")

        assert ("Completed", winner) == await system.outcome(event_id)


@pytest.mark.not_under("clock_skew", reason="apps refuse the signatures of a clock that a test moves")
@pytest.mark.parametrize("colour", COLOURS)
async def test_an_experiment_is_shown_with_its_variant(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        async def new() -> str:
            await ctx.step.sleep("nap", "1m")
            event = await ctx.step.wait_for_event("wait", event="shop/never", timeout="1m")
            return str(await ctx.step.run("ask", lambda: f"new after {event}"))

        weights = experiment.weighted({"new": 1, "old": 0})
        return await ctx.group.experiment("price", variants={"new": new, "old": new}, select=weights)

    async with sdk_system(one(colour, body), clock=VirtualClock(time.time())) as system:
        event_id = await system.send("shop/order")
        for _ in ("nap", "wait"):
            await system.idle()
            await system.advance(90)
        run = await system.run_of(event_id)
        steps = (await system.trace(run["run_id"]))["steps"]

    assert ("Completed", "new after None") == (run["status"], run["output"])
    shown = steps[0]["metadata"]["inngest.experiment"]
    assert ("price", "new", {"new": 1, "old": 0}) == (shown["name"], shown["variant"], shown["variant_weights"])
    assert ["price", "nap", "wait", "ask"] == [step["name"] for step in steps[:4]]
