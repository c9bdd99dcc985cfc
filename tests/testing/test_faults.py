"""Whatever goes wrong on the way, a correct function ends the same; and what is not correct is found."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from stepserve import Context, ContextSync, Event, Function, Inngest, TriggerEvent
from stepserve.testing import Faults
from stepserve_core._protocol import NO_CHECKPOINTS
from stepserve_core._registration import function_configs
from stepserve_core._serialize import encode_wire
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.fault_injection import FaultInjector
from stepserve_core.executor.in_process import URL
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.transport import EmbeddedTransport
from stepserve_core.faults import KINDS, MOST_PER_CALL, Fault
from stepserve_core.handler import Handler
from tests.testing.conftest import Open

pytestmark = pytest.mark.anyio

ORDERED = Event(name="shop/ordered", data={"id": "A-1"})
PAID = Event(name="shop/paid", data={"amount": 7})
SEEDS = [int(seed) for seed in os.environ.get("STEPSERVE_FAULT_SEEDS", "1,2").split(",")]

OUTPUT = {"receipt": "charged A-1", "parts": ["a", "b"], "paid": 7, "invoice": "invoice for 7", "flaky": "third"}
USUAL = Counter({"charge": 1, "a": 1, "b": 1, "print": 1, "flaky": 3})
REPEATS = {"kill_between_steps", "duplicate_delivery", "drop_answer"}
"""Faults that let steps run more than once."""


class Pipeline:
    """A function with every kind of step, that counts how often its steps ran."""

    def __init__(self, client: Inngest, *, is_async: bool) -> None:
        self.executions: Counter[str] = Counter()
        decorate = client.create_function(fn_id="pipeline", trigger=TriggerEvent(event="shop/ordered"))
        self.invoice: Function[Any] = client.create_function(
            fn_id="invoice", trigger=TriggerEvent(event="shop/invoiced")
        )(self._invoice)
        self.function: Function[Any] = decorate(self._run if is_async else self._run_sync)
        self.functions = (self.function, self.invoice)

    def _step(self, name: str, result: str) -> str:
        self.executions[name] += 1
        return result

    def _fail_twice(self, attempt: int) -> str:
        self._step("flaky", "")
        if attempt < 2:
            raise ConnectionError("not yet")
        return "third"

    async def _invoice(self, ctx: Context) -> str:
        amount = ctx.event.data["amount"]
        return await ctx.step.run("print", lambda: self._step("print", f"invoice for {amount}"))

    async def _run(self, ctx: Context) -> Any:
        step = ctx.step
        receipt = await step.run("charge", lambda: self._step("charge", f"charged {ctx.event.data['id']}"))
        parts = await asyncio.gather(
            step.run("a", lambda: self._step("a", "a")), step.run("b", lambda: self._step("b", "b"))
        )
        await step.sleep("rest", "1h")
        paid = await step.wait_for_event("paid", event="shop/paid", timeout="300d")
        amount = None if paid is None else paid.data["amount"]
        invoice = await step.invoke("invoice", function=self.invoice, data={"amount": amount})
        flaky = await step.run("flaky", self._fail_twice, ctx.attempt)
        return {"receipt": receipt, "parts": list(parts), "paid": amount, "invoice": invoice, "flaky": flaky}

    def _run_sync(self, ctx: ContextSync) -> Any:
        step = ctx.step
        receipt = step.run("charge", lambda: self._step("charge", f"charged {ctx.event.data['id']}"))
        parts = ctx.group.parallel(
            (
                lambda: step.run("a", lambda: self._step("a", "a")),
                lambda: step.run("b", lambda: self._step("b", "b")),
            )
        )
        step.sleep("rest", "1h")
        paid = step.wait_for_event("paid", event="shop/paid", timeout="300d")
        amount = None if paid is None else paid.data["amount"]
        invoice = step.invoke("invoice", function=self.invoice, data={"amount": amount})
        flaky = step.run("flaky", self._fail_twice, ctx.attempt)
        return {"receipt": receipt, "parts": list(parts), "paid": amount, "invoice": invoice, "flaky": flaky}


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("chance", [0.4, 1.0])
@pytest.mark.parametrize("kind", [*KINDS, "all"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_correct_function_ends_the_same_whatever_goes_wrong(
    open_: Open, client: Inngest, seed: int, kind: str, chance: float, is_async: bool
) -> None:
    """And no step runs again whose result is recorded."""
    pipeline = Pipeline(client, is_async=is_async)
    chances: dict[str, Any] = dict.fromkeys(KINDS, chance / 3) if kind == "all" else {kind: chance}
    async with open_(*pipeline.functions, faults=Faults(**chances, seed=seed)) as h:
        run = await h.send(ORDERED)
        await h.advance("1d")
        await client.send(PAID)
        await h.skip_time()
        report, ended = h.fault_report, (run.status, run.output)

    assert ("Completed", OUTPUT) == ended
    assert ((), (), ()) == (report.executed_again, report.nondeterministic, report.changed)
    assert () == report.changed_arguments
    if kind in REPEATS or kind == "all":
        assert {name for name, times in pipeline.executions.items() if times > USUAL[name]} == {
            finding.step for finding in report.repeated
        }
    else:
        assert USUAL == pipeline.executions
        assert () == report.repeated
    if chance == 1.0:
        assert set(chances) >= set(report.injected) > set()


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_that_saves_its_steps_ends_the_same(
    open_: Open, client: Inngest, kind: str, is_async: bool
) -> None:
    """Where `always_replay` is off, calls go on after each step, and what they saved is not done again."""
    pipeline = Pipeline(client, is_async=is_async)
    chances: dict[str, Any] = {kind: 1.0}
    async with open_(*pipeline.functions, checkpointing=True, faults=Faults(always_replay=False, **chances)) as h:
        run = await h.send(ORDERED)
        await h.advance("1d")
        await client.send(PAID)
        await h.skip_time()
        report, ended = h.fault_report, (run.status, run.output)

    assert ("Completed", OUTPUT) == ended
    assert {kind} == set(report.injected)
    assert ((), ()) == (report.executed_again, report.nondeterministic)
    # Two calls under way at once know nothing of each other; all other ones know what was saved.
    assert kind == "duplicate_delivery" or pipeline.executions["charge"] == 1


async def test_the_report_finds_a_function_that_is_not_deterministic(open_: Open, client: Inngest) -> None:
    """What is planted here: a step whose id counts calls, and another whose output does."""
    calls = itertools.count()

    @client.create_function(fn_id="planted", trigger=TriggerEvent(event="shop/ordered"), retries=0)
    async def planted(ctx: Context) -> str:
        await ctx.step.run("number", lambda: next(calls))
        await ctx.step.run(f"step-{min(next(calls), 7)}", lambda: "done")
        return "ended"

    async with open_(planted, faults=Faults(duplicate_delivery=1.0, seed=3)) as h:
        run = await h.send(ORDERED)
        report = h.fault_report
        text, status = report.text(), run.status

    assert "Completed" == status
    assert {("shop-planted", None)} == {(one.function, one.step) for one in report.nondeterministic}
    assert ("shop-planted", "number") in {(one.function, one.step) for one in report.changed}
    assert "\nNot deterministic: called again with the same results, these came to other steps. Put whatever" in text
    assert "\n- function 'shop-planted': called twice with the same results, it came to step 'step-" in text
    assert "\nGave another output when they ran again. Of a step, one of the outputs counts" in text
    assert "\n- step 'number' of function 'shop-planted': 0 and then 1 (run " in text
    assert text.startswith("faults with seed 3: duplicate_delivery ")


@pytest.mark.parametrize("chances", [{}, {"drop_answer": 1.0}, {"clock_skew": 1.0}])
@pytest.mark.parametrize("is_checked", [True, False])
async def test_the_report_finds_a_step_that_is_given_other_arguments(
    open_: Open, client: Inngest, monkeypatch: pytest.MonkeyPatch, is_checked: bool, chances: dict[str, Any]
) -> None:
    """Although its output is the same, and whether or not it runs again; unless checks are turned off altogether."""
    if not is_checked:
        monkeypatch.setenv("STEPSERVE_STRICT", "0")
    numbers = itertools.count()

    @client.create_function(fn_id="planted", trigger=TriggerEvent(event="shop/ordered"))
    async def planted(ctx: Context) -> None:
        await ctx.step.run("charge", lambda _: "charged", next(numbers))
        await ctx.step.run("mail", lambda _: "mailed", ctx.event.data["id"])

    async with open_(planted, faults=Faults(**chances)) as h:
        await h.send(ORDERED)
        await h.skip_time()
        report = h.fault_report

    found = [(one.function, one.step, one.detail) for one in report.changed_arguments]
    heading = "\nGiven other arguments when they were reached again. What a step is given must come"
    assert [("shop-planted", "charge", "0 and then 1")] * is_checked == found
    assert is_checked == (heading in report.text())
    assert ((), ()) == (report.nondeterministic, report.changed)


async def test_without_faults_the_report_is_empty(open_: Open, client: Inngest) -> None:
    pipeline = Pipeline(client, is_async=True)
    async with open_(*pipeline.functions) as h:
        await h.send(ORDERED)
        report = h.fault_report

    assert "faults with seed 0: none\nno step ran more than once, and nothing changed" == report.text()


async def test_an_event_that_comes_before_a_late_answer_is_not_missed(open_: Open, client: Inngest) -> None:
    """The app has asked for it when the event comes; the server only hears of that later."""

    @client.create_function(fn_id="waits", trigger=TriggerEvent(event="shop/ordered"))
    async def waits(ctx: Context) -> object:
        paid = await ctx.step.wait_for_event("paid", event="shop/paid", timeout="1h")
        return None if paid is None else paid.data["amount"]

    async with open_(waits, faults=Faults(late_answer=1.0, late_by="1m")) as h:
        run = await h.send(ORDERED)
        before = run.steps
        await client.send(PAID)
        await h.skip_time()
        after = (run.status, run.output)

    assert [] == before
    assert ("Completed", 7) == after


async def test_in_a_harness_the_clock_of_the_app_is_off(open_: Open, client: Inngest) -> None:
    """What it stamps shows it: an event of the future starts its runs when its time comes."""

    @client.create_function(fn_id="mails", trigger=TriggerEvent(event="shop/ordered"))
    async def mails(ctx: Context) -> None:
        await ctx.step.send_event("mail", Event(name="shop/mailed"))

    async with open_(mails, faults=Faults(clock_skew=1.0, skew="10m")) as h:
        await h.send(ORDERED)
        (mailed,) = h.sent_events
        seconds = mailed.ts / 1000 - h.clock.now.timestamp()

    assert 600 == abs(seconds)


@pytest.mark.parametrize("kind", ["corrupt_body", "clock_skew"])
@pytest.mark.parametrize("skew", ["10m", "5s"])
async def test_an_app_with_keys_refuses_what_is_damaged_and_is_asked_again(kind: str, skew: str) -> None:
    """Clocks that differ by seconds are within what signatures allow."""
    key = "signkey-test-abcd"
    client = Inngest(app_id="shop", is_production=True, signing_key=key, event_key="key")
    executions: list[int] = []

    @client.create_function(fn_id="once", trigger=TriggerEvent(event="shop/ordered"), retries=0)
    async def once(ctx: Context) -> None:
        await ctx.step.run("charge", lambda: executions.append(1))

    statuses: list[int] = []
    replays: list[str | None] = []

    class Watched(EmbeddedTransport):
        async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
            reply = await super().send(method, url, headers, body, timeout)
            statuses.append(reply.status)
            replays.append(headers.get(NO_CHECKPOINTS))
            return reply

    transport = Watched(Handler(client, [once], framework="executor"))
    chances: dict[str, Any] = {"skew": skew, kind: 1.0}
    injector = FaultInjector(Faults(**chances))
    settings = LoopSettings(signing_key=key, retry_interval=0.0)
    executor = Executor(transport=transport, settings=settings, around=injector.around)
    async with executor:
        await executor.register(encode_registration(client, once))
        await executor.send({"name": "shop/ordered", "data": {}})
        while not (ended := executor.store.look(lambda tables: [row for row in tables.runs.all() if row.ended_at])):
            await asyncio.sleep(0)

    is_refused = kind == "corrupt_body" or skew == "10m"

    assert ([401] * 3 + [206]) * is_refused + [206] * (not is_refused) == statuses[: 4 if is_refused else 1]
    assert (["Completed"], [1]) == ([row.status for row in ended], executions)
    assert {"true"} == set(replays)


def encode_registration(client: Inngest, *functions: Function[Any]) -> bytes:
    """Return what an app registers whose functions are called in this process."""
    return encode_wire({"appName": client.app_id, "url": URL, "functions": function_configs(list(functions), URL)})


def test_what_happens_depends_on_the_seed_and_on_nothing_else() -> None:
    """And a call suffers no more than it can bear."""
    chances: dict[str, Any] = dict.fromkeys(KINDS, 0.2)
    faults = Faults(**chances, seed=5)
    places = list(itertools.product(range(20), range(20), range(MOST_PER_CALL + 1)))
    chosen = [faults.choose(*place) for place in places]

    assert chosen == [Faults(**chances, seed=5).choose(*place) for place in places]
    assert chosen != [Faults(**chances, seed=6).choose(*place) for place in places]
    assert set(KINDS) == {fault.kind for fault in chosen if isinstance(fault, Fault)}
    assert {None} == set(chosen[MOST_PER_CALL :: MOST_PER_CALL + 1])
    assert {None} == {Faults().choose(*place) for place in places}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drop_answer": 1.5}, r"Faults\(drop_answer=…\) is a probability from 0 to 1, not 1.5"),
        ({"reorder": -0.1}, r"Faults\(reorder=…\) is a probability"),
        ({"corrupt_body": True}, r"Faults\(corrupt_body=…\) is a probability"),
        ({"late_answer": float("nan")}, r"Faults\(late_answer=…\) is a probability"),
        ({"late_by": "soon"}, r"Faults\(late_by=…\) is a duration such as '30s'"),
        ({"skew": 0}, r"Faults\(skew=…\) is a duration such as '30s', longer than none, not 0"),
        ({"always_replay": "yes"}, r"Faults\(always_replay=…\) is True or False"),
        ({"seed": "7"}, r"Faults\(seed=…\) is an int"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Faults(**settings)


def test_faults_are_read_from_text() -> None:
    text = "drop_answer=0.1, late_answer=1,late_by=5s,always_replay=false,seed=7"

    assert Faults(drop_answer=0.1, late_answer=1.0, late_by="5s", always_replay=False, seed=7) == Faults.parse(text)
    assert Faults() == Faults.parse("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropped=0.1", "'dropped' is no fault; there are kill_between_steps, duplicate_delivery, "),
        ("drop_answer=often", "drop_answer=often cannot be read"),
        ("drop_answer", "drop_answer= cannot be read"),
        ("drop_answer=7", "is a probability"),
        ("always_replay=maybe", "always_replay=maybe cannot be read"),
    ],
)
def test_text_that_names_no_faults_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Faults.parse(text)
