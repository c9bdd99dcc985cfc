"""A user's tests, as type checkers see them. They are checked, not run: `mypy --strict` and pyright in strict mode."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any

from typing_extensions import assert_type

from stepserve import Context, ContextSync, Event, EventType, Inngest
from stepserve.testing import (
    Harness,
    HarnessError,
    HarnessSync,
    LiveServer,
    ReplayError,
    Run,
    RunError,
    StepRecord,
    UnknownStepError,
    assert_replays,
)


@dataclasses.dataclass
class Order:
    """The data of an event."""

    number: int


client = Inngest(app_id="shop")
ordered = EventType("shop/ordered", Order)


@client.create_function(fn_id="order", trigger=ordered)
async def order(ctx: Context[Order]) -> int:
    return await ctx.step.run("charge", lambda: ctx.event.data.number)


@client.create_function(fn_id="mail", trigger=ordered)
def mail(ctx: ContextSync[Order]) -> str:
    return ctx.step.run("write", lambda: str(ctx.event.data.number))


async def asynchronous() -> None:
    start = datetime.datetime(2030, 1, 1)
    async with Harness(client, [order, mail], start=start, timeout=1, max_calls=5, checkpointing=True) as h:
        assert_type(h, Harness)
        assert_type(await h.send(ordered(Order(1))), Run)
        assert_type(await h.send([ordered(Order(1)), Event(name="a")]), list[Run])
        run = await h.invoke(order, Order(1))
        await h.run_until_idle(skip_time=True)
        h.clock.advance("1d")
        await h.clock.advance(datetime.timedelta(days=1))
        await h.clock.advance_to(start)
        assert_type(h.clock.now, datetime.datetime)
        h.stub("charge", ValueError("x"), 5, lambda: 6, function=order)
        h.unstub("charge", function="order")
        assert_type(h.runs, list[Run])
        assert_type(h.logs, list[logging.LogRecord])
        assert_type(h.sent_events, list[Event[Any]])
        assert_type(run.status, str)
        assert_type(run.output, Any)
        assert_type(run.error, RunError | None)
        assert_type(run.step("charge", 1), StepRecord)
        assert_type(run.step("charge").attempts, int)
        assert_type(run.step("charge").duration, datetime.timedelta | None)
        assert_replays(order, run.history(), client=client)


def synchronous(stepserve: HarnessSync, stepserve_server: LiveServer) -> None:
    with HarnessSync(client, (order,), start=None) as h:
        assert_type(h, HarnessSync)
        assert_type(h.send(ordered(Order(1))), Run)
        assert_type(h.send([ordered(Order(1))]), list[Run])
        h.run_until_idle()
        assert_type(h.clock.advance(60_000), None)
    stepserve.invoke(mail)
    assert_type(stepserve_server.send(ordered(Order(1))), str)
    try:
        assert_replays(mail, "history.json")
    except (ReplayError, UnknownStepError) as error:
        assert_type(error, ReplayError | UnknownStepError)
        failed: HarnessError = error
        raise failed from None
