"""Functions that run in tests without a server (protocol.md 10.10)."""

from __future__ import annotations

import asyncio
import datetime
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import stepserve
from stepserve.experimental import mocked
from stepserve.experimental.mocked import trial
from stepserve.experimental.mocked.errors import UnstubbedStepError
from stepserve.testing import HarnessSync

QUIET = logging.getLogger("tests.mocked")
QUIET.setLevel(logging.CRITICAL)

EVENT = stepserve.Event(name="shop/order", data={"n": 1})


class Broken(Exception):
    """What steps raise here."""


@pytest.fixture
def client() -> mocked.Inngest:
    """Return a client that sends nothing."""
    return mocked.Inngest(app_id="app", is_production=False, logger=QUIET)


def run(client: mocked.Inngest, handler: Callable[[Any], Any], **options: Any) -> mocked.Result:
    """Define a function of `handler` and run it."""
    stubs, event = options.pop("stubs", None), options.pop("event", EVENT)
    arguments: dict[str, Any] = {"fn_id": "f", "trigger": stepserve.TriggerEvent(event="shop/order"), **options}
    return mocked.trigger(client.create_function(**arguments)(handler), event, client, step_stubs=stubs)


def test_a_function_runs_to_its_end_with_all_its_steps(client: mocked.Inngest) -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        number = ctx.step.run("count", lambda: ctx.event.data["n"] + 1)
        ctx.step.sleep("wait", 60_000)
        ctx.step.sleep_until("until", datetime.datetime(2030, 1, 1))
        ids = ctx.step.send_event("tell", [EVENT, EVENT])
        repeats = [ctx.step.run("again", str, k) for k in range(3)]
        return number, ids, repeats, ctx.run_id

    result = run(client, order)

    assert mocked.Result(None, (2, ["0" * 26] * 2, ["0", "1", "2"], "test"), mocked.Status.COMPLETED) == result


def test_an_async_function_runs_parallel_steps_inside_a_running_loop(client: mocked.Inngest) -> None:
    async def one() -> int:
        return 1

    async def order(ctx: stepserve.Context) -> object:
        gathered = await asyncio.gather(ctx.step.run("a", one), ctx.step.run("b", one))
        return gathered, await ctx.group.parallel((lambda: ctx.step.run("c", one), lambda: ctx.step.run("d", one)))

    async def test() -> mocked.Result:
        return run(client, order)

    assert ([1, 1], (1, 1)) == asyncio.run(test()).output


@pytest.mark.parametrize(
    ("stub", "expected"),
    [(stepserve.Event(name="paid", data={"k": 1}), {"k": 1}), ({"name": "paid"}, {}), (mocked.Timeout, "timeout")],
)
def test_a_step_that_waits_gets_its_stub(client: mocked.Inngest, stub: object, expected: object) -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        event = ctx.step.wait_for_event("wait", event="paid", timeout=1000)
        return "timeout" if event is None else event.data

    assert expected == run(client, order, stubs={"wait": stub}).output


@pytest.mark.parametrize("stub", [0, None, "", {"data": 1}, [1]])
def test_a_stub_takes_the_place_of_a_step(client: mocked.Inngest, stub: object) -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        return ctx.step.run("a", lambda: "real"), ctx.step.invoke_by_id("b", function_id="other")

    assert (stub, stub) == run(client, order, stubs={"a": stub, "b": stub}).output


@pytest.mark.parametrize(
    "reach",
    [
        lambda ctx: ctx.step.wait_for_event("s", event="x", timeout=1000),
        lambda ctx: ctx.step.invoke_by_id("s", function_id="x"),
        lambda ctx: ctx.group.parallel((lambda: ctx.step.invoke_by_id("s", function_id="x"),)),
    ],
)
def test_a_step_for_a_server_needs_a_stub(client: mocked.Inngest, reach: Callable[[Any], Any]) -> None:
    with pytest.raises(UnstubbedStepError, match="step s is not stubbed"):
        run(client, reach)


@pytest.mark.parametrize(("options", "calls"), [({}, 5), ({"retries": 0}, 1), ({"retries": 2}, 3)])
@pytest.mark.parametrize("in_step", [True, False])
def test_a_failure_is_retried_as_often_as_in_production(
    client: mocked.Inngest, options: dict[str, Any], calls: int, in_step: bool
) -> None:
    attempts: list[int] = []

    def order(ctx: stepserve.ContextSync) -> None:
        def fail() -> None:
            attempts.append(ctx.attempt)
            raise Broken("always")

        if in_step:
            ctx.step.run("a", fail)
        fail()

    result = run(client, order, **options)

    assert (mocked.Status.FAILED, Broken, "always") == (result.status, type(result.error), str(result.error))
    assert list(range(calls)) == attempts


def test_a_function_may_catch_the_failure_of_a_step(client: mocked.Inngest) -> None:
    def fail() -> None:
        raise Broken("always")

    def order(ctx: stepserve.ContextSync) -> str:
        try:
            ctx.step.run("a", fail)
        except stepserve.StepError as error:
            return f"{error.name}: {error.message}"
        raise AssertionError("it did not fail")

    assert "Broken: always" == run(client, order, retries=1).output


@pytest.mark.parametrize("in_step", [True, False])
def test_what_shall_not_be_retried_is_not(client: mocked.Inngest, in_step: bool) -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("call")
        raise stepserve.NonRetriableError("never again")

    result = run(client, lambda ctx: ctx.step.run("a", fail) if in_step else fail())

    assert ("never again", ["call"]) == (str(result.error), calls)


def test_an_exception_as_stub_makes_the_step_fail_with_it(client: mocked.Inngest) -> None:
    error = Broken("no answer")

    result = run(client, lambda ctx: ctx.step.invoke_by_id("a", function_id="x"), stubs={"a": error})

    assert mocked.Result(error, None, mocked.Status.FAILED) == result


@pytest.mark.parametrize("in_step", [True, False])
def test_what_json_cannot_carry_fails_as_in_production(client: mocked.Inngest, in_step: bool) -> None:
    result = run(client, lambda ctx: ctx.step.run("a", object) if in_step else object())

    assert stepserve.errors.OutputUnserializableError is type(result.error)


def test_a_batch_has_all_events_and_needs_one(client: mocked.Inngest) -> None:
    result = run(client, lambda ctx: [len(ctx.events), ctx.event.name], event=[EVENT, EVENT])

    assert [2, "shop/order"] == result.output
    with pytest.raises(stepserve.errors.Error, match="Must provide at least 1 event"):
        run(client, lambda ctx: None, event=[])


def test_the_serializer_has_its_say(client: mocked.Inngest) -> None:
    client.serializer = stepserve.PydanticSerializer()
    day = datetime.date(2030, 1, 2)

    def order(ctx: stepserve.ContextSync) -> object:
        return ctx.step.run("a", lambda: day, output_type=datetime.date)

    assert "2030-01-02" == run(client, order, output_type=datetime.date).output


def test_middleware_takes_part(client: mocked.Inngest) -> None:
    class Doubling(stepserve.MiddlewareSync):
        def transform_output(self, result: stepserve.TransformOutputResult) -> None:
            if result.step is None:
                result.output = [result.output] * 2

    client.add_middleware(Doubling)

    assert [1, 1] == run(client, lambda ctx: 1).output


def test_the_client_sends_nothing_and_gives_one_id_for_each_event(client: mocked.Inngest) -> None:
    assert ["0" * 26] == client.send_sync(EVENT)
    assert ["0" * 26] * 2 == asyncio.run(client.send([EVENT, EVENT]))
    with pytest.raises(stepserve.errors.EventInvalidError):
        client.send_sync(stepserve.Event(name="x", data={"k": object()}))


def test_steps_in_parallel_and_their_retries_are_those_of_the_executor(client: mocked.Inngest) -> None:
    calls: list[str] = []

    async def work(name: str, failures: int) -> str:
        calls.append(name)
        if calls.count(name) <= failures:
            raise Broken(name)
        return name

    async def order(ctx: stepserve.Context) -> object:
        done = await asyncio.gather(ctx.step.run("a", work, "a", 2), ctx.step.run("b", work, "b", 0))
        return [*done, await ctx.step.run("c", work, "c", 1)]

    assert ["a", "b", "c"] == run(client, order).output
    assert {"a": 3, "b": 1, "c": 2} == {name: calls.count(name) for name in "abc"}


def test_a_callable_takes_the_place_of_a_step_and_gets_its_arguments(client: mocked.Inngest) -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        return ctx.step.run("a", str.upper, "x"), ctx.step.invoke_by_id("b", function_id="other", data={"n": 2})

    assert ("stub of x", 3) == run(
        client, order, stubs={"a": "stub of {}".format, "b": lambda data: data["n"] + 1}
    ).output


def test_a_function_may_run_another_one_inside(client: mocked.Inngest) -> None:
    def order(ctx: stepserve.ContextSync) -> object:
        inner = run(client, lambda ctx: ctx.step.run("a", lambda: ctx.run_id))
        return [ctx.step.run("a", lambda: "outer"), inner.output]

    assert ["outer", "test"] == run(client, order).output


def test_its_stubs_count_also_inside_a_harness(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="outer", trigger=stepserve.TriggerEvent(event="shop/order"))
    def outer(ctx: stepserve.ContextSync) -> object:
        return run(client, lambda ctx: ctx.step.run("a", str), stubs={"a": "inner"}).output

    with HarnessSync(client, [outer], step_stubs={"a": "outer"}) as h:
        ended = h.send(EVENT)
        h.run_until_idle()

        assert "inner" == ended.output


def test_what_a_run_leaves_is_gone_for_the_next(client: mocked.Inngest) -> None:
    def interrupt(ctx: stepserve.ContextSync) -> None:
        ctx.step.run("a", lambda: "first")
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(client, interrupt)

    assert "second" == run(client, lambda ctx: ctx.step.run("a", lambda: "second")).output
    for connection, _ in trial._idle:
        assert [(0,)] == connection.execute("SELECT (SELECT count(*) FROM runs) + count(*) FROM queue").fetchall()


def test_waits_and_their_conditions_are_the_affair_of_stubs(client: mocked.Inngest) -> None:
    def order(ctx: Any) -> object:
        return ctx.step.wait_for_event(
            "w", event="paid", if_exp="not CEL (", timeout=datetime.timedelta(days=4000)
        ).data

    assert {"k": 1} == run(client, order, stubs={"w": {"name": "paid", "data": {"k": 1}}}).output


def test_a_test_moves_to_the_harness_with_its_client_and_its_stubs(client: mocked.Inngest) -> None:
    @client.create_function(fn_id="f", trigger=stepserve.TriggerEvent(event="shop/order"))
    def order(ctx: Any) -> object:
        ctx.step.send_event("tell", stepserve.Event(name="told"))
        waited = ctx.step.wait_for_event("wait", event="paid", timeout=1000)
        return [waited, ctx.step.wait_for_event("named", event="paid", timeout=1000).data, ctx.step.run("a", str)]

    stubs = {"wait": mocked.Timeout, "named": {"name": "paid"}, "a": "stub"}
    with HarnessSync(client, [order], step_stubs=stubs) as h:
        ended = h.send(EVENT)
        h.run_until_idle()
        found = ended.output, [event.name for event in h.sent_events]

    assert (mocked.trigger(order, EVENT, client, step_stubs=stubs).output, ["told"]) == found


def test_it_needs_nothing_that_is_not_installed_with_stepserve_itself() -> None:
    program = """
import sys
for name in ("aiohttp", "yarl", "lark", "re2", "google", "graphql", "python_multipart", "starlette", "uvicorn",
             "websockets", "ulid", "yaml", "rich", "typer", "pydantic"):
    sys.modules[name] = None
import stepserve
from stepserve.experimental import mocked
from stepserve.experimental.mocked import trial

client = mocked.Inngest(app_id="app", is_production=False)


@client.create_function(fn_id="f", trigger=stepserve.TriggerEvent(event="x"))
async def f(ctx):
    await ctx.step.wait_for_event("w", event="y", if_exp="event.data.n == 1", timeout=1000)
    return await ctx.step.run("a", lambda: 1)


print(mocked.trigger(f, stepserve.Event(name="x"), client, step_stubs={"w": mocked.Timeout}).output)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ("1\n", "") == (ran.stdout, ran.stderr)


def test_modules_that_are_forgotten_leave_no_open_database() -> None:
    """Test runners forget modules that the tests of a plugin imported."""
    program = """
import gc, sys, warnings

warnings.simplefilter("error")


def trigger():
    import stepserve
    from stepserve.experimental import mocked

    client = mocked.Inngest(app_id="app")
    function = client.create_function(fn_id="f", trigger=stepserve.TriggerEvent(event="x"))(lambda ctx: 1)
    return mocked.trigger(function, stepserve.Event(name="x"), client).output


print(trigger())
for name in [name for name in sys.modules if name.startswith("stepserve")]:
    del sys.modules[name]
gc.collect()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ("1\n", "") == (ran.stdout, ran.stderr)


def test_a_run_is_not_compared_with_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    """Both have the id that code which uses this counts on; another event gives steps other arguments."""
    client = mocked.Inngest(app_id="app", is_production=False)
    for n in range(2):
        event = stepserve.Event(name="shop/order", data={"n": n})
        result = run(client, lambda ctx: ctx.step.run("charge", str, ctx.event.data["n"]), event=event)
        assert str(n) == result.output

    assert [] == caplog.messages
