"""An app without a framework, for tests of the command line."""

from __future__ import annotations

import datetime
import os

from stepserve.asgi import ASGIApp
from stepserve_core import ContextSync, Inngest, TriggerCron, TriggerEvent
from stepserve_core.handler import Handler

client = Inngest(app_id="shop", is_production="PRODUCTION" in os.environ)


@client.create_function(fn_id="ship", trigger=TriggerEvent(event="shop/order.created"))
def ship(ctx: ContextSync) -> str:
    """Pack, which fails once, and rest."""
    packed = ctx.step.run("pack", _pack, ctx.attempt)
    ctx.step.sleep("rest", 1)
    return packed


@client.create_function(fn_id="greet", trigger=TriggerEvent(event="shop/greeted", expression="event.data.name != ''"))
def greet(ctx: ContextSync) -> str:
    """Greet by name, in one step."""
    return ctx.step.run("write", _write, ctx.event.data.get("name", "nobody"))


@client.create_function(
    fn_id="refuse",
    trigger=[TriggerEvent(event="shop/refused"), TriggerCron(cron="0 0 1 1 *")],
    retries=0,
)
def refuse(ctx: ContextSync) -> None:
    """Fail at once."""
    raise ValueError("out of stock")


@client.create_function(fn_id="wait", trigger=TriggerEvent(event="shop/parked"))
def wait(ctx: ContextSync) -> None:
    """Sleep longer than any test."""
    ctx.step.sleep("park", datetime.timedelta(days=30))


def _pack(attempt: int) -> str:
    if attempt == 0:
        raise ConnectionError("the packer is asleep")
    return "packed"


def _write(name: str) -> str:
    return f"hello {name}"


app = ASGIApp(Handler(client, [ship, greet, refuse, wait], framework="none"))
