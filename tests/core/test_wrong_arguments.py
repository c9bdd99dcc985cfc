"""What steps say when they are given something else than they take, in both colours."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stepserve_core import realtime
from tests.core.calls import call, dev_client
from tests.core.colours import COLOURS

FUNCTION = "a step takes the function itself, and its arguments after it"


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda step: step.run("a", None), f"{FUNCTION}: step.run('charge', charge, order), not NoneType"),
        (lambda step: step.run("a", "done"), f"{FUNCTION}: step.run('charge', charge, order), not str"),
        (lambda step: step.ai.wrap("a", None), FUNCTION),
        (lambda step: step.wait_for_event("a", event=None, timeout="1h"), "takes a name or an EventType, not NoneType"),
        (lambda step: step.invoke("a", function="g"), "invoke(function=…) takes what create_function made, not str"),
        (lambda step: step.run(7, lambda: 1), "a step id is text, not int"),
        (lambda step: step.sleep("a", 1.5), "a duration is an int (milliseconds), a timedelta or text"),
    ],
)
def test_a_mistake_is_told(colour: str, use: Callable[[Any], Awaitable[Any]], message: str) -> None:
    async def body(ctx: Any) -> Any:
        return await use(ctx.step)

    reply = call(colour, body)

    assert (500, "TypeError") == (reply.status, reply.json["name"])
    assert message in reply.json["message"]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda step: step.invoke_by_id("a", function_id="g", data={"k": object()}),
            "the data given to step 'a' holds something JSON cannot carry at payload.data.k: object",
        ),
        (lambda step: step.send_signal("a", "paid", {1.5: object()}), "the data of signal 'paid' holds something"),
        (lambda step: step.fetch("a", "http://x", json=object()), "step.fetch(json=…) holds something"),
        (
            lambda step: step.realtime.publish("a", realtime.Channel("news").topic("all"), object()),
            "the message to news/all holds something JSON cannot carry",
        ),
        (lambda step: step.run("a", object), "step 'a' returned something JSON cannot carry"),
    ],
)
def test_what_json_cannot_carry_is_named_for_what_it_is(colour: str, use: Any, message: str) -> None:
    async def body(ctx: Any) -> Any:
        return await use(ctx.step)

    reply = call(colour, body)
    error = reply.json[0]["error"] if reply.status == 206 else reply.json

    assert "OutputUnserializableError" == error["name"]
    assert message in error["message"]
    assert "true" == reply.headers["x-inngest-no-retry"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_step_whose_error_has_half_characters_fails_as_any_other(colour: str) -> None:
    def fail() -> None:
        raise OSError("no file caf\udce9")

    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", fail)

    quiet = logging.Logger("quiet", logging.CRITICAL + 1)  # reports of tests cannot carry such text either
    (op,) = call(colour, body, client=dev_client(logger=quiet)).json

    assert ("StepError", "OSError", "no file caf\\udce9") == (op["op"], op["error"]["name"], op["error"]["message"])
