"""Functions that would not replay are found, and others are left in peace (protocol.md 6.7)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import _checker
from stepserve_core.errors import ConfigurationError
from tests.core.calls import Reply, call, cloud_client, define, dev_client, hashed, make_handler
from tests.core.driver import Server

DONE = {"data": 1}


def memos(*steps: str) -> dict[str, Any]:
    """Return memos of steps that finished in this order."""
    return {hashed(step): DONE for step in steps}


def checked(monkeypatch: pytest.MonkeyPatch, mode: str | None) -> core.Inngest:
    """Return a client under a mode of checking."""
    if mode is None:
        monkeypatch.delenv("STEPSERVE_STRICT", raising=False)
    else:
        monkeypatch.setenv("STEPSERVE_STRICT", mode)
    return dev_client()


@pytest.fixture
def strictly(monkeypatch: pytest.MonkeyPatch) -> core.Inngest:
    """Return a client for which findings are errors."""
    return checked(monkeypatch, "1")


def found(reply: Reply) -> str:
    """Return what was found; "" if nothing was."""
    if reply.status != 500:
        return ""
    assert ("DeterminismError", "not_deterministic") == (reply.json["name"], reply.json["code"]), reply.json
    assert "true" == reply.headers["x-inngest-no-retry"]
    message: str = reply.json["message"]
    return message


async def loops(ctx: Any) -> object:
    """Use one id in a loop."""
    return [await ctx.step.run("charge", lambda: 1) for _ in range(3)]


async def in_order(ctx: Any) -> object:
    """Use two steps."""
    await ctx.step.run("a", lambda: 1)
    return await ctx.step.run("b", lambda: 1)


async def reversed_order(ctx: Any) -> object:
    """Use two steps, the other way round."""
    await ctx.step.run("b", lambda: 1)
    return await ctx.step.run("a", lambda: 1)


async def skips(ctx: Any) -> object:
    """Use no step any more."""
    return "done"


@pytest.mark.parametrize(
    ("body", "steps", "expected"),
    [
        (loops, ["charge"], "uses the step id 'charge' again at the same place, "),
        (reversed_order, ["a", "b"], "reaches step 'a' after step 'b', but it finished before"),
        (skips, ["a"], f"returned without reaching step with the hashed id {hashed('a')}"),
    ],
)
def test_what_would_not_replay_is_an_error_that_is_not_retried(
    colour: str, strictly: core.Inngest, body: Any, steps: list[str], expected: str
) -> None:
    message = found(call(colour, body, client=strictly, steps=memos(*steps)))

    assert message.startswith("function app-f ")
    assert expected in message
    assert message.endswith("(STEPSERVE_STRICT=1)")


@pytest.mark.parametrize(
    ("mode", "expected"), [(None, [200, True]), ("warn", [200, True]), ("0", [200, False]), ("1", [500, False])]
)
def test_the_mode_decides_what_is_done(
    colour: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str | None,
    expected: list[object],
) -> None:
    reply = call(colour, reversed_order, client=checked(monkeypatch, mode), steps=memos("a", "b"))

    warned = any("reaches step 'a' after step 'b'" in message for message in caplog.messages if "failed" not in message)
    assert expected == [reply.status, warned]


def test_in_production_nothing_is_checked_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPSERVE_STRICT", raising=False)
    assert cloud_client().checker is None

    monkeypatch.setenv("STEPSERVE_STRICT", "1")
    assert cloud_client().checker is not None


def test_a_mode_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="STEPSERVE_STRICT must be 1, warn or 0, not 'maybe'"):
        checked(monkeypatch, "maybe")


def test_a_finding_is_told_once(colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    client = checked(monkeypatch, None)
    for _ in range(2):
        call(colour, loops, client=client, steps=memos("charge", "charge:1", "charge:2"))

    assert 1 == len([message for message in caplog.messages if "again at the same place" in message])


def test_findings_that_were_told_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checker, "MOST_NAMES", 2)
    checker = _checker.Checker(dev_client(), is_strict=False, watches_clock=False)
    for number in range(5):
        checker.warn(f"finding {number}")

    assert {"finding 4"} == checker._told


def test_a_step_that_is_not_reached_has_the_name_under_which_it_was_seen(colour: str, strictly: core.Inngest) -> None:
    call(colour, in_order, client=strictly)

    assert "returned without reaching step 'a', which has" in found(
        call(colour, skips, client=strictly, steps=memos("a"))
    )


def test_an_error_cannot_be_swallowed(colour: str, strictly: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        with contextlib.suppress(Exception):
            await reversed_order(ctx)
        with contextlib.suppress(Exception):
            await ctx.step.run("c", lambda: 1)
        return "swallowed"

    assert "reaches step 'a' after" in found(call(colour, body, client=strictly, steps=memos("a", "b")))


# No false alarms


async def repeats_deliberately(ctx: Any) -> object:
    """Use one id at two places."""
    first = await ctx.step.run("a", lambda: 1)
    second = await ctx.step.run("a", lambda: 2)
    return [first, second, await ctx.step.run("a", lambda: 3), await ctx.step.run("a", lambda: 4)]


async def repeats_on_one_line(ctx: Any) -> object:
    """Use one id twice in one line."""
    return [await ctx.step.run("a", lambda: 1), await ctx.step.run("a", lambda: 2)]


async def repeats_in_a_helper(ctx: Any) -> object:
    """Use one id in a function that is called from two places."""

    async def notify(what: str) -> object:
        return await ctx.step.run("notify", lambda: what)

    first = await notify("first")
    return [first, await notify("second")]


async def loops_with_an_index(ctx: Any) -> object:
    """Use an id of its own in each turn."""
    return [await ctx.step.run(f"charge-{number}", lambda number=number: number) for number in range(3)]


async def groups(ctx: Any) -> object:
    """Use groups, whose steps finish in any order, between other steps."""

    def branch(name: str) -> Callable[[], Any]:
        async def run() -> object:
            await ctx.step.run(f"{name}1", lambda: name)
            return await ctx.step.run(f"{name}2", lambda: name)

        return run

    await ctx.step.run("start", lambda: 1)
    output = await ctx.group.parallel((branch("a"), branch("b"), branch("c")))
    await ctx.step.sleep("pause", 1000)
    return [list(output), await ctx.group.parallel((branch("d"), branch("e")))]


async def catches(ctx: Any) -> object:
    """Go on after a step that failed."""
    try:
        return await ctx.step.run("a", dict[str, str]().__getitem__, "key")
    except core.StepError:
        return await ctx.step.run("b", lambda: "rescued")


async def waits(ctx: Any) -> object:
    """Wait for an event, and sleep."""
    await ctx.step.wait_for_event("w", event="x", timeout="1h")
    await ctx.step.sleep("s", 1000)
    return await ctx.step.run("a", lambda: 1)


BODIES = [
    repeats_deliberately,
    repeats_on_one_line,
    repeats_in_a_helper,
    loops_with_an_index,
    groups,
    catches,
    waits,
    in_order,
]


def run_to_the_end(client: core.Inngest, colour: str, body: Any, seed: int) -> int:
    """Run a function with an honest server that finishes steps in any order."""
    handler = make_handler(client, define(client, colour, body))
    entry = "handle" if colour == "sync" else "ahandle"
    return Server(handler, entry=entry, random=random.Random(seed), version=1 + seed % 2).run().status


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("body", BODIES)
def test_functions_that_replay_are_left_in_peace(colour: str, strictly: core.Inngest, body: Any, seed: int) -> None:
    assert 200 == run_to_the_end(strictly, colour, body, seed)


async def gathers(ctx: Any) -> object:
    """Use tasks, whose steps finish in any order."""

    async def branch(name: str) -> object:
        await ctx.step.run(f"{name}1", lambda: name)
        return await ctx.step.run(f"{name}2", lambda: name)

    await ctx.step.run("start", lambda: 1)
    await asyncio.gather(branch("a"), branch("b"), ctx.step.run("c", lambda: 1))
    return await ctx.step.run("end", lambda: 1)


async def races(ctx: Any) -> object:
    """Go on with whoever comes first, and leave the others."""
    tasks = [asyncio.ensure_future(ctx.step.run(name, lambda name=name: name)) for name in "abc"]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return await ctx.step.run(f"after-{next(iter(done)).result()}", lambda: 1)


async def has_a_task_in_the_background(ctx: Any) -> object:
    """Use steps in two tasks at the same time."""

    async def background() -> None:
        for number in range(3):
            await ctx.step.run(f"background-{number}", lambda: 1)

    task = asyncio.ensure_future(background())
    await ctx.step.run("a", lambda: 1)
    await ctx.step.run("b", lambda: 1)
    await task
    return await ctx.step.run("c", lambda: 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("body", [gathers, races, has_a_task_in_the_background])
def test_tasks_that_replay_are_left_in_peace(strictly: core.Inngest, body: Any, seed: int) -> None:
    assert 200 == run_to_the_end(strictly, "async", body, seed)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_race_skips_is_left_in_peace(colour: str, strictly: core.Inngest, seed: int) -> None:
    async def body(ctx: Any) -> object:
        async def two(name: str) -> object:
            await ctx.step.run(f"{name}1", lambda: 1)
            return await ctx.step.run(f"{name}2", lambda: name)

        first = await ctx.group.race(lambda: two("a"), lambda: two("b"))
        return [first, await ctx.step.run("end", lambda: 1)]

    if colour == "sync":  # the harness of the tests knows no race for it

        def plain(ctx: core.ContextSync) -> object:
            def two(name: str) -> object:
                ctx.step.run(f"{name}1", lambda: 1)
                return ctx.step.run(f"{name}2", lambda: name)

            first = ctx.group.race(lambda: two("a"), lambda: two("b"))
            return [first, ctx.step.run("end", lambda: 1)]

        function = strictly.create_function(fn_id="f", trigger=core.TriggerEvent(event="x"))(plain)
        server = Server(make_handler(strictly, function), entry="handle", random=random.Random(seed))
        assert 200 == server.run().status
    else:
        assert 200 == run_to_the_end(strictly, colour, body, seed)


def test_a_function_that_fails_early_is_left_in_peace(colour: str, strictly: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        await ctx.step.run("a", lambda: 1)
        raise ValueError("the database is away")

    reply = call(colour, body, client=strictly, steps=memos("a", "b"))

    assert (500, "ValueError") == (reply.status, reply.json["name"])


def test_new_steps_between_those_that_finished_are_left_in_peace(colour: str, strictly: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        await ctx.step.run("a", lambda: 1)
        await ctx.step.run("new", lambda: 1)
        return await ctx.step.run("b", lambda: 1)

    assert 206 == call(colour, body, client=strictly, steps=memos("a", "b")).status


def test_memos_that_no_stack_lists_are_left_in_peace(colour: str, strictly: core.Inngest) -> None:
    assert 200 == call(colour, skips, client=strictly, steps=memos("a"), stack=[]).status
    assert 200 == call(colour, reversed_order, client=strictly, steps=memos("a", "b"), stack=["x"]).status


# The clock and random numbers

READS: list[Callable[[], object]] = [
    time.time,
    datetime.datetime.now,
    lambda: datetime.datetime.now(datetime.timezone.utc),
    datetime.date.today,
    random.random,
    lambda: random.randint(1, 6),
    lambda: random.choice("ab"),
    uuid.uuid4,
    secrets.token_hex,
    lambda: os.urandom(4),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("steps", [[], ["a"]])
def test_reading_the_clock_or_random_numbers_outside_of_steps_is_found(
    colour: str, strictly: core.Inngest, read: Callable[[], object], steps: list[str]
) -> None:
    async def body(ctx: Any) -> object:
        if steps:
            await ctx.step.run("a", lambda: 1)
        read()
        return await ctx.step.run("b", lambda: 1)

    message = found(call(colour, body, client=strictly, steps=memos(*steps)))

    assert "the clock (" in message or "random numbers at" in message
    assert f"{__file__}:" in message
    assert ("after step 'a'" if steps else "at its start") in message


def test_reading_the_clock_at_the_end_is_found(colour: str, strictly: core.Inngest) -> None:
    async def body(ctx: Any) -> object:
        return time.time()

    assert "reads the clock (time.time) at" in found(call(colour, body, client=strictly))


@pytest.mark.parametrize("read", READS)
def test_steps_may_read_the_clock_and_random_numbers(
    colour: str, strictly: core.Inngest, read: Callable[[], object]
) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: str(read()))

    assert 206 == call(colour, body, client=strictly).status


def test_what_reads_for_reasons_of_its_own_is_left_in_peace(colour: str, strictly: core.Inngest) -> None:
    mine = random.Random(7)

    async def body(ctx: Any) -> object:
        ctx.logger.warning("a line has a time")
        time.monotonic()
        time.perf_counter()
        mine.random()
        datetime.datetime(2030, 1, 1)
        return await ctx.step.sleep("s", "1h")

    assert 206 == call(colour, body, client=strictly).status


def test_in_development_the_clock_is_not_watched(
    colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(ctx: Any) -> object:
        return time.time() > 0

    assert (200, True) == call(colour, body, client=checked(monkeypatch, None))[:2]
    assert [] == caplog.messages


def test_reading_the_clock_may_only_be_warned_of(
    colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(ctx: Any) -> object:
        return time.time() > 0

    assert (200, True) == call(colour, body, client=checked(monkeypatch, "warn"))[:2]
    assert ["reads the clock (time.time)"] == [message[15:42] for message in caplog.messages]


def test_nothing_watches_when_the_function_has_ended(colour: str, strictly: core.Inngest) -> None:
    call(colour, in_order, client=strictly)

    assert sys.getprofile() is None


def test_other_profilers_are_left_in_place(colour: str, strictly: core.Inngest) -> None:
    def profile(*args: object) -> None:
        del args

    async def body(ctx: Any) -> object:
        return [time.time() > 0, sys.getprofile() is profile]

    sys.setprofile(profile)
    try:
        reply = call(colour, body, client=strictly)
    finally:
        sys.setprofile(None)

    assert (200, [True, True]) == reply[:2]
