"""Events with a declared type: checked before anything leaves, and before the function sees them."""

from __future__ import annotations

import dataclasses
import datetime
import json
from decimal import Decimal
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
import typing_extensions

import stepserve_core as core
from stepserve_core import errors
from tests.core.calls import EVENT, Reply, call, call_body, define, dev_client, hashed, make_handler, post, serve


@dataclasses.dataclass
class Order:
    """A user's dataclass."""

    total: Decimal
    items: list[str] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    """A user's model, which allows no other fields and has an alias."""

    model_config = pydantic.ConfigDict(extra="forbid")
    order_id: int = pydantic.Field(alias="orderId")
    lines: list[Order] = []


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    """A user's Struct."""

    at: datetime.datetime


class Row(typing_extensions.TypedDict):
    """A TypedDict of JSON's own types."""

    count: int


@attrs.define
class Address:
    """A user's attrs class."""

    street: str


created = core.EventType("shop/order.created", Order)
modelled = core.EventType("shop/modelled", Model)
structured = core.EventType("shop/structured", Struct)
counted = core.EventType("shop/counted", Row)
moved = core.EventType("shop/moved", Address)
either: core.EventType[Order | Address] = core.EventType("shop/either", Order | Address)

ORDER = Order(Decimal("1.10"), ["a"])
AT = datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc)
KINDS: list[tuple[core.EventType[Any], Any, dict[str, Any]]] = [
    (created, ORDER, {"total": "1.10", "items": ["a"]}),
    (modelled, Model(orderId=1, lines=[ORDER]), {"orderId": 1, "lines": [{"total": "1.10", "items": ["a"]}]}),
    (structured, Struct(AT), {"at": "2030-01-02T00:00:00Z"}),
    (counted, {"count": 1}, {"count": 1}),
    (moved, Address("Main St"), {"street": "Main St"}),
    (either, Address("Main St"), {"street": "Main St"}),
    (core.EventType("shop/map", dict[str, int]), {"a": 1}, {"a": 1}),
]
BAD: list[tuple[core.EventType[Any], Any, list[str]]] = [
    (created, {"total": "1", "items": [1]}, ["Order at items[0]:", "Expected `str`, got `int`", "{total: str"]),
    (created, {}, ["Order at the top:", "missing required field `total`"]),
    (modelled, {"orderId": 1, "lines": [{"total": "x"}]}, ["Model at lines[0].total:"]),
    (structured, {"at": "2030-01-02T00:00:00Z", "more": 1}, ["Struct at the top:", "unknown field `more`"]),
    (counted, {"count": "1"}, ["Row at count:", "Expected `int`, got `str`"]),
    (either, {"nothing": 1}, ["Order | Address at the top:"]),
]


def wire(name: str, data: object) -> dict[str, Any]:
    """Return an event as the server sends it."""
    return {**EVENT, "name": name, "data": data}


def seen_by_function(colour: str, trigger: Any, event: Any, **fields: Any) -> tuple[Reply, list[Any]]:
    """Call a function once; return the answer and the events that it saw."""
    seen: list[Any] = []

    async def body(ctx: Any) -> None:
        seen.append((ctx.event, ctx.events))

    reply = call(colour, body, event=event, options={"trigger": trigger}, **fields)
    return reply, seen


# Receiving


@pytest.mark.parametrize(("kind", "data", "json_data"), KINDS)
def test_a_function_sees_the_data_of_its_event_in_its_type(
    colour: str, kind: core.EventType[Any], data: object, json_data: object
) -> None:
    reply, seen = seen_by_function(colour, kind, wire(kind.name, json_data))

    assert 200 == reply.status, reply.json
    ((event, events),) = seen
    assert (data, type(data)) == (event.data, type(event.data))
    assert (kind.name, EVENT["id"], EVENT["ts"]) == (event.name, event.id, event.ts)
    assert [event] == events


@pytest.mark.parametrize(("kind", "data", "said"), BAD)
def test_an_event_that_does_not_fit_fails_the_run_without_retries_and_says_where(
    colour: str, kind: core.EventType[Any], data: object, said: list[str]
) -> None:
    reply, seen = seen_by_function(colour, kind, wire(kind.name, data))

    assert [] == seen
    assert (500, "event_invalid", "true") == (reply.status, reply.json["code"], reply.headers["x-inngest-no-retry"])
    assert [] == [part for part in [f"event '{kind.name}'", *said] if part not in reply.json["message"]]


def test_every_event_of_a_batch_is_typed_and_a_bad_one_fails_it(colour: str) -> None:
    one, two = wire(counted.name, {"count": 1}), wire(counted.name, {"count": 2})

    reply, seen = seen_by_function(colour, counted, one, events=[one, two])
    assert 200 == reply.status
    assert [{"count": 1}, {"count": 2}] == [event.data for event in seen[0][1]]
    bad, _ = seen_by_function(colour, counted, one, events=[one, wire(counted.name, {"count": None})])
    assert "event_invalid" == bad.json["code"]


TRIGGERS = [
    created,
    counted.where("event.data.count > 1"),
    core.TriggerEvent(event=moved, expression="true"),
    core.TriggerEvent(event="shop/plain"),
    core.TriggerCron(cron="0 3 * * *"),
    core.EventType("wild/*", Row),
]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("shop/order.created", {"total": "2"}, Order(Decimal(2))),
        ("shop/counted", {"count": 2}, {"count": 2}),
        ("shop/moved", {"street": "s"}, Address("s")),
        ("shop/plain", {"anything": [1]}, {"anything": [1]}),
        ("inngest/scheduled.timer", {"cron": "0 3 * * *"}, {"cron": "0 3 * * *"}),
        ("inngest/function.invoked", {"free": 1, "_inngest": {}}, {"free": 1, "_inngest": {}}),
        ("something/else", {"x": 1}, {"x": 1}),
    ],
)
def test_of_several_triggers_the_one_with_the_events_name_gives_the_type(
    colour: str, name: str, data: object, expected: object
) -> None:
    reply, seen = seen_by_function(colour, TRIGGERS, wire(name, data))

    assert 200 == reply.status, reply.json
    assert expected == seen[0][0].data


def test_a_trigger_with_a_wildcard_types_the_events_that_it_matches(colour: str) -> None:
    reply, _ = seen_by_function(colour, TRIGGERS, wire("wild/thing", {"count": "many"}))

    assert "event_invalid" == reply.json["code"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"orderId": 1, "_inngest": {"fn_id": "x"}}, Model(orderId=1)),
        ({"street": "s", "_inngest": {}}, Address("s")),
        ({"street": 1}, None),
    ],
)
def test_an_invocation_brings_any_of_the_types_that_the_triggers_declare(
    colour: str, data: object, expected: object
) -> None:
    reply, seen = seen_by_function(colour, [modelled, moved], wire("inngest/function.invoked", data))

    assert (500 if expected is None else 200) == reply.status, reply.json
    assert [] == seen if expected is None else expected == seen[0][0].data


def test_a_failure_handler_is_given_the_failure_as_it_is_and_can_read_the_event_inside() -> None:
    seen: list[Any] = []

    def failed(ctx: core.ContextSync) -> None:
        seen.append((ctx.event.data["error"]["message"], created.read(ctx.event.data["event"]).data))

    client = dev_client()
    every = core.EventType("*", Address)
    function = client.create_function(fn_id="f", trigger=[created, every], on_failure=failed)(lambda ctx: None)
    event = wire("inngest/function.failed", {"event": wire(created.name, {"total": "2"}), "error": {"message": "no"}})
    request = post("app-f-failure", json.dumps(call_body(event=event)).encode())

    assert 200 == serve(make_handler(client, function), request).status
    assert [("no", Order(Decimal(2)))] == seen


class Decrypts(core.MiddlewareSync):
    """Puts the real data into events, as encryption does."""

    def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        ctx.event.data = {"count": ctx.event.data["secret"]}


def test_middleware_sees_events_as_json_and_what_it_leaves_is_checked(colour: str) -> None:
    client = dev_client(middleware=[Decrypts])

    reply, seen = seen_by_function(colour, counted, wire(counted.name, {"secret": 3}), client=client)

    assert 200 == reply.status, reply.json
    assert {"count": 3} == seen[0][0].data


# Making and sending


@pytest.mark.parametrize(("kind", "data", "json_data"), KINDS)
def test_an_event_of_a_type_holds_its_data_as_json(kind: core.EventType[Any], data: object, json_data: object) -> None:
    assert core.Event(name=kind.name, data=json_data, id="1", ts=2) == kind(data, id="1", ts=2)
    assert kind(data) == kind.event(data)


@pytest.mark.parametrize(("kind", "data", "said"), BAD)
def test_data_that_does_not_fit_is_refused_before_anything_leaves(
    kind: core.EventType[Any], data: object, said: list[str]
) -> None:
    with pytest.raises(errors.EventInvalidError) as caught:
        kind(data)

    assert [] == [part for part in [f"event '{kind.name}'", *said] if part not in str(caught.value)]
    assert not caught.value.is_retriable


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (created, Order("x"), "Order at total"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        (created, Order(Decimal(1), [object()]), "holds something JSON cannot carry at items[0]"),  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
        (core.EventType("a", list[int]), [1], "data must be an object, not [int]"),
        (core.EventType("a", dict[str, float]), {"x": float("nan")}, "holds NaN or infinity at x"),
    ],
)
def test_a_value_that_only_looks_right_is_refused_too(kind: core.EventType[Any], data: object, said: str) -> None:
    with pytest.raises(errors.EventInvalidError, match=said.replace("[", r"\[")):
        kind(data)


def test_typed_events_are_sent_like_others_and_so_are_events_that_hold_objects() -> None:
    from stepserve_core._send import encode_events

    sent = json.loads(encode_events([created(ORDER), core.Event(name="b", data=ORDER)]))

    assert [{"total": "1.10", "items": ["a"]}] * 2 == [event["data"] for event in sent]


def test_a_function_can_send_on_the_event_that_started_it(colour: str) -> None:
    from stepserve_core._send import encode_events

    _, seen = seen_by_function(colour, created, wire(created.name, {"total": "1.10", "items": ["a"]}))

    assert {"total": "1.10", "items": ["a"]} == json.loads(encode_events([seen[0][0]]))[0]["data"]


# Steps


def test_a_wait_for_a_typed_event_gives_it_typed_or_none(colour: str) -> None:
    seen: list[Any] = []

    async def body(ctx: Any) -> None:
        seen.append(await ctx.step.wait_for_event("w", event=created, timeout="1d"))

    (op,) = call(colour, body).json
    assert ("WaitForEvent", created.name, {"if": None, "timeout": "1d"}) == (op["op"], op["name"], op["opts"])
    call(colour, body, steps={hashed("w"): None})
    call(colour, body, steps={hashed("w"): wire(created.name, {"total": "2", "_inngest": {}})})
    assert [None, Order(Decimal(2))] == [event and event.data for event in seen]


def test_a_waited_for_event_that_does_not_fit_fails_the_run_where_no_code_can_catch_it(colour: str) -> None:
    async def body(ctx: Any) -> None:
        try:
            await ctx.step.wait_for_event("w", event=created, timeout="1d")
        except Exception:
            raise AssertionError("caught") from None

    reply = call(colour, body, steps={hashed("w"): wire(created.name, {"total": []})})

    assert (500, "event_invalid", "true") == (reply.status, reply.json["code"], reply.headers["x-inngest-no-retry"])
    assert "Order at total" in reply.json["message"]


@pytest.mark.parametrize(
    ("trigger", "data", "expected"),
    [
        (created, ORDER, {"total": "1.10", "items": ["a"]}),
        (created, {"total": "1"}, {"total": "1"}),
        ([modelled, moved], Address("s"), {"street": "s"}),
        (core.TriggerEvent(event="x"), ORDER, {"total": "1.10", "items": ["a"]}),
        (core.TriggerEvent(event="x"), None, None),
    ],
)
def test_a_function_is_invoked_with_data_of_the_type_of_its_trigger(
    colour: str, trigger: Any, data: object, expected: object
) -> None:
    client = dev_client()
    other = define(client, colour, lambda ctx: ctx.step.sleep("s", 1), fn_id="g", trigger=trigger)

    async def body(ctx: Any) -> None:
        await ctx.step.invoke("i", function=other, data=data)

    reply = call(colour, body, client=client)

    assert expected == reply.json[0]["opts"]["payload"]["data"]


@pytest.mark.parametrize(("data", "said"), [({"total": []}, "Order at total"), (None, "missing required field")])
def test_an_invocation_with_wrong_data_is_refused_before_anything_leaves(colour: str, data: object, said: str) -> None:
    client = dev_client()
    other = define(client, colour, lambda ctx: ctx.step.sleep("s", 1), fn_id="g", trigger=created)

    async def body(ctx: Any) -> None:
        await ctx.step.invoke("i", function=other, data=data)

    reply = call(colour, body, client=client)

    assert (500, "event_invalid", "true") == (reply.status, reply.json["code"], reply.headers["x-inngest-no-retry"])
    assert said in reply.json["message"]


# Options


WHERE = counted.where("event.data.count > 1")
MOVED = core.TriggerEvent(event=moved)


@pytest.mark.parametrize("trigger", [[created, WHERE, MOVED], (created, WHERE, MOVED), created | WHERE | MOVED])
def test_event_types_are_registered_by_their_names(trigger: Any) -> None:
    client = dev_client()
    function = client.create_function(
        fn_id="f",
        trigger=trigger,
        cancel=[core.Cancel(event=either, if_exp="true")],
    )(lambda ctx: None)

    config = function.get_config("http://app.test").main

    assert [
        {"event": "shop/order.created"},
        {"event": "shop/counted", "expression": "event.data.count > 1"},
        {"event": "shop/moved"},
    ] == config["triggers"]
    assert [{"event": "shop/either", "if": "true"}] == config["cancel"]


def test_only_triggers_are_alternatives_of_triggers() -> None:
    name: Any = "shop/moved"

    with pytest.raises(TypeError, match="unsupported operand"):
        _ = created | name


def test_a_type_that_cannot_be_built_or_a_missing_name_is_refused_when_it_is_declared() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"EventType\('a', Opaque\): no way to build Opaque"):
        core.EventType("a", type("Opaque", (), {}))
    with pytest.raises(errors.ConfigurationError, match="name must be text"):
        core.EventType("", Order)
    assert "EventType('shop/order.created', Order)" == repr(created)


def test_a_plain_event_takes_objects_but_nothing_that_is_no_object() -> None:
    assert ORDER == core.Event(name="a", data=ORDER).data
    for data in ("text", 1, [1], (1,)):
        with pytest.raises(errors.EventInvalidError, match="data must be a mapping"):
            core.Event(name="a", data=data)
