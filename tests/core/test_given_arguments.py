"""Steps that are given other arguments when they are reached again are found, and others are left in peace."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import _given_arguments
from tests.core.calls import call, dev_client, hashed

HEADER = "x-stepserve-changed-arguments"
FINISHED = {hashed("charge"): {"data": 1}}


@pytest.fixture
def warning(monkeypatch: pytest.MonkeyPatch) -> core.Inngest:
    """Return a client in development, as most are: findings are warnings."""
    monkeypatch.delenv("STEPSERVE_STRICT", raising=False)
    return dev_client()


def charging(*arguments: Callable[[Any], object]) -> Any:
    """Return a function that gives a step these arguments of its context."""

    async def body(ctx: Any) -> object:
        return await ctx.step.run("charge", lambda *_: 1, *(argument(ctx) for argument in arguments))

    return body


def counting() -> Callable[[Any], object]:
    """Return an argument that is another one each time."""
    numbers = itertools.count()
    return lambda _: next(numbers)


def changed(colour: str, client: core.Inngest, body: Any, *calls: dict[str, Any]) -> list[Any]:
    """Call `body` in turn, and return what the answers say about arguments."""
    headers = [call(colour, body, client=client, headers={HEADER: "true"}, **fields).headers for fields in calls]
    return [json.loads(header[HEADER]) for header in headers if HEADER in header]


def test_other_arguments_are_found_when_the_result_is_known(
    colour: str, warning: core.Inngest, caplog: pytest.LogCaptureFixture
) -> None:
    found = changed(colour, warning, charging(counting()), {}, {"steps": FINISHED}, {"steps": FINISHED})

    assert [[["charge", "0 and then 1"]], [["charge", "0 and then 2"]]] == found
    (message,) = caplog.messages
    assert message.startswith(
        "function app-f gives step 'charge' other arguments than in an earlier call of the run: 0 "
    )


def test_only_who_asks_is_told(colour: str, warning: core.Inngest) -> None:
    body = charging(counting())
    replies = [call(colour, body, client=warning, steps=steps) for steps in ({}, FINISHED)]

    assert [206, 200] == [reply.status for reply in replies]
    assert not any(HEADER in reply.headers for reply in replies)


def test_where_findings_are_errors_they_are_not_retried(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSERVE_STRICT", "1")
    client, body = dev_client(), charging(counting())
    first, second = (call(colour, body, client=client, steps=steps) for steps in ({}, FINISHED))

    assert (206, 500, "DeterminismError") == (first.status, second.status, second.json["name"])
    assert "true" == second.headers["x-inngest-no-retry"]


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        pytest.param([lambda ctx: ctx.event.data], [{}, {"steps": FINISHED}], id="the same"),
        pytest.param([lambda ctx: ctx.attempt], [{}, {"attempt": 1}, {"steps": FINISHED}], id="the attempt"),
        pytest.param([lambda _: object()], [{}, {"steps": FINISHED}], id="what JSON cannot carry"),
        pytest.param([], [{}, {"steps": FINISHED}], id="none"),
        pytest.param([counting()], [{"run_id": "1"}, {"run_id": "2", "steps": FINISHED}], id="another run"),
    ],
)
def test_other_functions_are_left_in_peace(
    colour: str, warning: core.Inngest, arguments: Any, calls: list[dict[str, Any]]
) -> None:
    assert [] == changed(colour, warning, charging(*arguments), *calls)


def test_long_arguments_differ_where_they_are_not_shown(colour: str, warning: core.Inngest) -> None:
    numbers = itertools.count()
    ((found,),) = changed(colour, warning, charging(lambda _: "x" * 300 + str(next(numbers))), {}, {"steps": FINISHED})

    assert "charge" == found[0]
    assert 2 == found[1].count("x… (303 characters, checksum ")


def test_what_the_server_is_not_told_is_not_logged_either(
    colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STEPSERVE_STRICT", "warn")
    client, numbers = dev_client(step_inputs=False), itertools.count()
    for steps in ({}, FINISHED):
        call(colour, charging(lambda _: f"secret {next(numbers)}"), client=client, steps=steps)

    (message,) = caplog.messages
    assert ("(10 characters, checksum " in message, "secret" in message) == (True, False)


def test_branches_are_told_apart(warning: core.Inngest) -> None:
    numbers = iter([1, 2, 1, 3])

    async def body(ctx: Any) -> object:
        return await asyncio.gather(*(ctx.step.run(name, lambda _: 1, next(numbers)) for name in ("a", "b")))

    steps = {hashed("a"): {"data": 1}, hashed("b"): {"data": 1}}

    assert [[["b", "2 and then 3"]]] == changed("async", warning, body, {}, {"steps": steps})


def test_runs_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_given_arguments, "MOST_RUNS", 2)
    memory = _given_arguments.GivenArguments()
    for run_id in ("1", "2", "1", "3"):
        memory.of_run(run_id)["hash", 0] = run_id

    assert [{("hash", 0): "3"}, {("hash", 0): "1"}, {}] == [memory.of_run(one) for one in ("3", "1", "2")]
