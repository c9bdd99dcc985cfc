"""What people do by mistake gets an answer that names it."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest

from stepserve import Context, ContextSync, Function, Inngest, TriggerEvent
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import App

TRIGGER = TriggerEvent(event="shop/tested")


def test_a_forgotten_await_is_a_warning_that_names_the_step(harness: Harness, client: Inngest) -> None:
    @client.create_function(fn_id="forgets", trigger=TRIGGER)
    async def forgets(ctx: Context) -> list[list[str]]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            ctx.step.run("charge card", lambda: 1)  # type: ignore[unused-coroutine] # pyright: ignore[reportUnusedCoroutine] # the mistake
            gc.collect()
        return [[warning.category.__name__, str(warning.message)] for warning in caught]

    with harness.mount(client, [forgets]) as send:
        warned = App(send).call("forgets").json()

    assert warned == [["RuntimeWarning", "coroutine 'step 'charge card'' was never awaited"]]


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_a_step_used_after_its_function_ended_is_an_error(harness: Harness, client: Inngest, colour: str) -> None:
    kept: list[Any] = []

    @client.create_function(fn_id="keeps", trigger=TRIGGER)
    def keeps(ctx: ContextSync) -> None:
        kept.append(ctx)

    @client.create_function(fn_id="keeps", trigger=TRIGGER)
    async def keeps_async(ctx: Context) -> None:
        kept.append(ctx)

    @client.create_function(fn_id="uses", trigger=TRIGGER)
    def uses(ctx: ContextSync) -> str:
        with pytest.raises(RuntimeError) as refused:
            kept[0].step.run("late", lambda: 1)
        return str(refused.value)

    @client.create_function(fn_id="uses", trigger=TRIGGER)
    async def uses_async(ctx: Context) -> str:
        with pytest.raises(RuntimeError) as refused:
            await kept[0].step.run("late", lambda: 1)
        return str(refused.value)

    functions: list[Function[Any]] = [keeps, uses] if colour == "def" else [keeps_async, uses_async]
    with harness.mount(client, functions) as send:
        App(send).call("keeps")
        refusal = App(send).call("uses").json()

    assert "'late'" in refusal


def test_a_step_inside_of_a_step_is_an_error(app: App) -> None:
    reply = app.call("nests")
    (op,) = reply.json()

    assert reply.status == 206
    assert reply.headers["x-inngest-no-retry"] == "true"
    assert (op["op"], op["displayName"], op["error"]["code"]) == ("StepError", "outer", "step_nested")


def test_an_async_step_in_a_sync_function_is_an_error(harness: Harness, client: Inngest) -> None:
    async def wrong() -> int:
        return 1

    @client.create_function(fn_id="mixes", trigger=TRIGGER)
    def mixes(ctx: ContextSync) -> Any:
        return ctx.step.run("charge", wrong)

    with harness.mount(client, [mixes]) as send:
        (op,) = App(send).call("mixes").json()

    assert op["error"]["name"] == "AsyncUnsupportedError"
    assert "wrong" in op["error"]["message"]


def test_async_middleware_on_a_sync_function_is_an_error(harness: Harness, recorder: Recorder) -> None:
    from stepserve import Middleware

    class Late(Middleware):
        async def before_response(self) -> None:
            return

    client = make_client(recorder, middleware=[Late])

    @client.create_function(fn_id="plain", trigger=TRIGGER)
    def plain(ctx: ContextSync) -> int:
        return 1

    with harness.mount(client, [plain]) as send:
        reply = App(send).call("plain")

    assert reply.status == 500
    assert reply.json()["name"] == "AsyncUnsupportedError"
    assert "before_response" in reply.json()["message"]


def test_mixed_colours_of_function_and_failure_handler_are_refused(client: Inngest) -> None:
    async def on_failure(ctx: Context) -> None:
        return

    with pytest.raises(Exception, match=r"non-async function cannot have an async on_failure handler.*refund"):

        @client.create_function(fn_id="refund", trigger=TRIGGER, on_failure=on_failure)
        def refund(ctx: ContextSync) -> None:
            return
