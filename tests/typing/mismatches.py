"""What type checkers must refuse: every `type: ignore` below is one error, and one too many is an error as well."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import dataclasses
from typing import Any

import stepserve
import stepserve.flask
import stepserve.tornado
from stepserve import Cancel, Context, ContextSync, EventType, Inngest, TriggerEvent


@dataclasses.dataclass
class Created:
    """The data of an event."""

    order: str


@dataclasses.dataclass
class Shipped:
    """The data of another one."""

    parcel: int


client = Inngest(app_id="shop")
created = EventType("shop/created", Created)
shipped = EventType("shop/shipped", Shipped)
plain = TriggerEvent(event="shop/plain")


@client.create_function(fn_id="a", trigger=created)  # type: ignore[arg-type]
async def untyped_context(ctx: Context) -> None: ...


@client.create_function(fn_id="b", trigger=created)  # type: ignore[arg-type]
async def other_type(ctx: Context[Shipped]) -> None: ...


@client.create_function(fn_id="c", trigger=created.where("true"))  # type: ignore[arg-type]
def other_type_sync(ctx: ContextSync[Shipped]) -> None: ...


@client.create_function(fn_id="d", trigger=[created])  # type: ignore[arg-type]
def other_type_in_a_list(ctx: ContextSync[Shipped]) -> None: ...


@client.create_function(fn_id="d2", trigger=created | shipped)  # type: ignore[arg-type]
async def one_type_of_two(ctx: Context[Shipped]) -> None: ...


@client.create_function(fn_id="d3", trigger=created | shipped | plain)  # type: ignore[arg-type]
def two_types_of_three(ctx: ContextSync[Created | Shipped]) -> None: ...


@client.create_function(fn_id="d4", trigger=created | shipped | plain | EventType("shop/n", dict[str, int]))  # type: ignore[arg-type]
def three_types_of_four(ctx: ContextSync[Created | Shipped | dict[str, int]]) -> None: ...


@client.create_function(fn_id="e", trigger=plain)  # type: ignore[arg-type]
def typed_context_of_a_plain_event(ctx: ContextSync[Created]) -> None: ...


@client.create_function(fn_id="f", trigger=TriggerEvent(event=shipped))  # type: ignore[arg-type]
def other_type_of_a_trigger(ctx: ContextSync[Created]) -> None: ...


@client.create_function(fn_id="g", trigger=created)
async def right(ctx: Context[Created]) -> int:
    ctx.event.data.parcel  # type: ignore[attr-defined] # noqa: B018
    came = await ctx.step.wait_for_event("w", event=shipped, timeout="1d")
    came.data  # type: ignore[union-attr] # noqa: B018
    text = await ctx.step.run("s", lambda: "text")
    text.bit_length()  # type: ignore[attr-defined]
    number = await ctx.step.run("t", returns_int)
    number.upper()  # type: ignore[attr-defined]
    await ctx.step.run("u", takes_text, 1)  # type: ignore[arg-type]
    await ctx.step.run("v", takes_text)  # type: ignore[call-arg, arg-type]
    result = await ctx.step.invoke("i", function=right)
    result.upper()  # type: ignore[attr-defined]
    return number


def returns_int() -> int:
    return 1


def takes_text(text: str) -> Any:
    return text


created(Shipped(1))  # type: ignore[arg-type]
created.event({"order": "A"})  # type: ignore[arg-type]
Cancel(event=1)  # type: ignore[arg-type]
client.send_sync("shop/created")  # type: ignore[arg-type]


stepserve.endpoint(client, framework="quart")  # type: ignore[arg-type]
stepserve.endpoint(client, retries="3")  # type: ignore[arg-type]
stepserve.endpoint(client, respond="wait")  # type: ignore[arg-type]
stepserve.endpoint(client, timeout=1)  # type: ignore[call-arg]
stepserve.endpoint("shop")  # type: ignore[arg-type]
stepserve.flask.endpoint(client, framework="flask")  # type: ignore[call-arg]
stepserve.tornado.endpoint(client)(1)  # type: ignore[arg-type]
