"""`group.race`, call by call and against a server that answers in any order."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import stepserve_core as core
from tests.core.calls import call, define, dev_client, hashed, make_handler
from tests.core.colours import COLOURS
from tests.core.driver import Server

A, B, C = (hashed(name) for name in "abc")


async def two_against_one(ctx: Any) -> Any:
    async def slow() -> str:
        await ctx.step.run("a", lambda: "A")
        return str(await ctx.step.run("b", lambda: "B"))

    async def fast() -> str:
        return str(await ctx.step.run("c", lambda: "C"))

    winner = await ctx.group.race(slow, fast)
    return await ctx.step.run("after", lambda: f"{winner} won")


def reported(reply: Any) -> list[tuple[str, str]]:
    return [(op["op"], op["displayName"]) for op in reply.json]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_race_plans_the_first_step_of_each_branch_and_says_that_it_is_one(colour: str) -> None:
    reply = call(colour, two_against_one)

    assert [("StepPlanned", "a"), ("StepPlanned", "c")] == reported(reply)
    assert [{"parallelMode": "race"}] * 2 == [op["opts"] for op in reply.json]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        ("a", [("StepPlanned", "b"), ("StepPlanned", "c")]),
        ("c", "C won"),
        ("ac", "C won"),
        ("acb", "C won"),
        ("abc", "B won"),
        ("ab", "B won"),
    ],
)
def test_the_branch_whose_last_step_finished_first_wins(colour: str, finished: str, expected: Any) -> None:
    steps = {hashed(name): {"data": name.upper()} for name in sorted(finished)}
    reply = call(colour, two_against_one, steps=steps, stack=[hashed(name) for name in finished])

    if isinstance(expected, str):
        assert [expected] == [op["data"] for op in reply.json]
    else:
        assert expected == reported(reply)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_step_of_a_branch_that_lost_is_still_executed_when_it_is_targeted(colour: str) -> None:
    reply = call(colour, two_against_one, steps={C: {"data": "C"}}, stack=[C], target=A, plan_only=True)

    assert [("StepRun", "a")] == reported(reply)


@pytest.mark.parametrize("colour", COLOURS)
def test_an_error_ends_a_branch_as_a_result_does(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        async def failing() -> Any:
            return await ctx.step.run("a", lambda: 1)

        async def other() -> Any:
            return await ctx.step.run("b", lambda: 2)

        try:
            return await ctx.group.race(failing, other)
        except core.StepError as error:
            return error.message

    failed = {"error": {"name": "E", "message": "broken"}}

    assert "broken" == call(colour, body, steps={A: failed, B: {"data": 2}}, stack=[A, B]).json
    assert 2 == call(colour, body, steps={A: failed, B: {"data": 2}}, stack=[B, A]).json


@pytest.mark.parametrize("colour", COLOURS)
def test_a_branch_without_steps_wins_at_once(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        async def stepping() -> Any:
            return await ctx.step.run("a", lambda: 1)

        async def plain() -> str:
            return "plain"

        return await ctx.group.race(stepping, plain)

    assert "plain" == call(colour, body).json
    assert "plain" == call(colour, body, steps={A: {"data": 1}}).json


@pytest.mark.parametrize("colour", COLOURS)
def test_a_race_inside_a_parallel_group_reports_with_it(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        async def one(name: str) -> Any:
            return await ctx.step.run(name, lambda: name)

        async def racing() -> Any:
            return await ctx.group.race(lambda: one("a"), lambda: one("b"))

        return list(await ctx.group.parallel((racing, lambda: one("c"))))

    planned = call(colour, body)

    assert [("StepPlanned", "a"), ("StepPlanned", "b"), ("StepPlanned", "c")] == reported(planned)
    assert ["b", "c"] == call(colour, body, steps={B: {"data": "b"}, C: {"data": "c"}}).json


@pytest.mark.parametrize("colour", COLOURS)
def test_a_race_without_branches_is_an_error(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        return await ctx.group.race()

    assert "at least one branch" in call(colour, body).json["message"]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("colour", COLOURS)
def test_every_order_of_the_server_ends_with_a_winner(colour: str, seed: int) -> None:
    handler = make_handler(dev_client(), define(dev_client(), colour, two_against_one))
    driver = Server(handler, entry="handle" if colour == "sync" else "ahandle", random=Random(seed))
    outcome = driver.run()
    positions = {name: driver.stack.index(hashed(name)) for name in "bc" if hashed(name) in driver.stack}

    assert (200, f"{min(positions, key=lambda name: positions[name]).upper()} won") == (outcome.status, outcome.output)
