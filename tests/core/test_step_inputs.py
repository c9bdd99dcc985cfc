"""Which arguments of steps the server is told, and when (protocol.md 13.5)."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core._inputs import MOST_RECORDED
from tests.core.calls import call, cloud_client, dev_client, hashed


@dataclasses.dataclass
class Order:
    """What a step is given."""

    number: str
    lines: list[int]


class Odd:
    """A value whose own code is in the way."""

    def model_dump(self, mode: str) -> object:
        """Fail."""
        raise LookupError(mode)


def running(*args: Any, handler: Any = lambda *_: None) -> Any:
    """Return a function with one step that is given `args`."""

    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", handler, *args)

    return body


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), None),
        (("A-1", 2, None), {"input": ["A-1", 2, None]}),
        ((Order("A-1", [1]),), {"input": [{"number": "A-1", "lines": [1]}]}),
        (("x" * (MOST_RECORDED - 4),), {"input": ["x" * (MOST_RECORDED - 4)]}),
        (("x" * (MOST_RECORDED - 3),), None),
        (("A-1", object()), None),
        ((Odd(),), None),
        ((float("nan"),), None),
    ],
    ids=["none", "json", "dataclass", "largest", "too large", "unknown type", "raising", "NaN"],
)
def test_arguments_go_with_the_result_where_json_can_carry_them(colour: str, args: Any, expected: Any) -> None:
    (op,) = call(colour, running(*args)).json

    assert ("StepRun", expected) == (op["op"], op["opts"])


@pytest.mark.parametrize(
    ("client", "is_told"),
    [
        (dev_client(), True),
        (dev_client(step_inputs=False), False),
        (cloud_client(), False),
        (cloud_client(step_inputs=True), True),
    ],
    ids=["development", "development, off", "production", "production, on"],
)
def test_production_tells_only_on_demand(client: core.Inngest, is_told: bool) -> None:
    assert is_told is client.step_inputs


def test_a_client_that_does_not_tell_sends_nothing(colour: str) -> None:
    (op,) = call(colour, running("secret"), client=dev_client(step_inputs=False)).json

    assert op["opts"] is None


def test_bound_arguments_stay_in_the_app(colour: str) -> None:
    (op,) = call(colour, running("A-1", handler=functools.partial(lambda *given: given, "secret"))).json

    assert (["secret", "A-1"], {"input": ["A-1"]}) == (op["data"], op["opts"])


def test_arguments_are_those_before_the_step_changed_them(colour: str) -> None:
    def take(lines: list[int]) -> int:
        return lines.pop()

    (op,) = call(colour, running([1, 2], handler=take)).json

    assert (2, {"input": [[1, 2]]}) == (op["data"], op["opts"])


def test_a_failed_step_tells_what_it_was_given(colour: str) -> None:
    (op,) = call(colour, running("key", handler={}.__getitem__)).json

    assert ("StepError", {"input": ["key"]}) == (op["op"], op["opts"])


def test_a_step_with_edited_input_tells_the_new_one(colour: str) -> None:
    (op,) = call(colour, running("old"), steps={hashed("a"): {"input": ["new", 2]}}, stack=[]).json

    assert {"input": ["new", 2]} == op["opts"]


def test_a_planned_step_does_not_tell_yet(colour: str) -> None:
    (op,) = call(colour, running("A-1"), plan_only=True).json

    assert ("StepPlanned", None) == (op["op"], op["opts"])
