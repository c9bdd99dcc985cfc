"""An app without a framework, for tests of the command line."""

from __future__ import annotations

from stepserve.asgi import ASGIApp
from stepserve_core import ContextSync, Inngest, TriggerEvent
from stepserve_core.handler import Handler

client = Inngest(app_id="shop", is_production=False)


@client.create_function(fn_id="ship", trigger=TriggerEvent(event="shop/order.created"))
def ship(ctx: ContextSync) -> str:
    """Pack, which fails once, and rest."""
    packed = ctx.step.run("pack", _pack, ctx.attempt)
    ctx.step.sleep("rest", 1)
    return packed


def _pack(attempt: int) -> str:
    if attempt == 0:
        raise ConnectionError("the packer is asleep")
    return "packed"


app = ASGIApp(Handler(client, [ship], framework="none"))
