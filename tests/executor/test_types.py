"""Typed steps and typed events end to end: our SDK and our executor over HTTP, in both colours."""

from __future__ import annotations

import dataclasses
import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pydantic
import pytest

import stepserve
from stepserve import Function, Inngest
from tests import regime
from tests.core.calls import define
from tests.core.colours import COLOURS
from tests.executor.sdk_system import sdk_system

pytestmark = pytest.mark.anyio


class Order(pydantic.BaseModel):
    """The data of an event."""

    number: int
    total: Decimal


@dataclasses.dataclass
class Receipt:
    """What a step and a function return."""

    id: UUID
    at: datetime.datetime
    lines: set[str]
    rate: float


RECEIPT = Receipt(UUID(int=1), datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc), {"a"}, 1.0)
ordered = stepserve.EventType("shop/order", Order)
paid = stepserve.EventType("shop/paid", Order)


def charge(order: Order) -> Receipt:
    """Return a receipt; the order comes as what the event type says."""
    assert isinstance(order, Order)
    return RECEIPT


def functions(colour: str, seen: list[Any]) -> Any:
    async def bill(ctx: Any) -> Any:
        seen.append(("billed", ctx.event.data))
        return await ctx.step.run("charge", charge, ctx.event.data)

    async def shop(ctx: Any) -> None:
        order = ctx.event.data
        receipt = await ctx.step.run("charge", charge, order)
        billed = await ctx.step.invoke("bill", function=made[1], data=order)
        event, _ = await ctx.group.parallel(
            (
                lambda: ctx.step.wait_for_event("paid", event=paid, timeout="1h"),
                lambda: ctx.step.send_event("pay", paid(order)),
            )
        )
        seen.append(("done", order, receipt, type(receipt.rate), billed, event and event.data))

    made: list[Function[Any]] = []

    def make(client: Inngest) -> list[Function[Any]]:
        billing = {"fn_id": "bill", "trigger": stepserve.EventType("shop/bill", Order), "output_type": Receipt}
        made.extend([define(client, colour, shop, trigger=ordered, retries=0), define(client, colour, bill, **billing)])
        return made

    return make


@pytest.mark.not_under(*regime.REPEATS, reason="counts how often steps are executed")
@pytest.mark.parametrize("colour", COLOURS)
async def test_types_survive_steps_invocations_and_waits(colour: str) -> None:
    seen: list[Any] = []
    order = Order(number=7, total=Decimal("19.90"))

    async with sdk_system(functions(colour, seen)) as system:
        (event_id,) = await system.client.send(ordered(order))
        run_ended = await system.outcome(event_id)

    assert "Completed" == run_ended[0], run_ended
    assert ("billed", order) == seen[0]
    assert [("done", order, RECEIPT, float, RECEIPT, order)] == [entry for entry in seen if entry[0] == "done"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_event_that_does_not_fit_fails_its_run_at_once(colour: str) -> None:
    seen: list[Any] = []

    async with sdk_system(functions(colour, seen)) as system:
        status, output = await system.outcome(await system.send("shop/order", {"number": 7, "total": "much"}))

    assert "Failed" == status
    assert "Order at total" in output["message"]
    assert [] == seen
