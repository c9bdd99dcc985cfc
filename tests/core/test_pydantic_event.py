"""Events inside pydantic models."""

from __future__ import annotations

import datetime
from typing import Any

import pydantic
import pytest

import stepserve_core as core
from stepserve_core._survey import is_pydantic
from tests.core.calls import call
from tests.loaded import loaded_by


class Order(pydantic.BaseModel):
    """Typed data."""

    at: datetime.date


class Envelope(pydantic.BaseModel):
    """Holds events, plain and typed."""

    event: core.Event
    typed: core.Event[Order] | None = None
    more: list[core.Event] = []


WIRE = {"name": "shop/order", "data": {"n": 1}, "id": "7", "ts": 5}
EVENT = core.Event(name="shop/order", data={"n": 1}, id="7", ts=5)


@pytest.mark.parametrize("given", [EVENT, WIRE, {**WIRE, "user": {}}])
def test_an_event_is_taken_as_it_is_or_from_its_fields(given: Any) -> None:
    assert EVENT == Envelope(event=given).event


def test_an_event_is_read_from_json_and_written_to_it() -> None:
    envelope = Envelope.model_validate_json('{"event":{"name":"a"},"more":[{"name":"b","data":{"k":[1]}}]}')

    assert [core.Event(name="b", data={"k": [1]})] == envelope.more
    assert envelope == Envelope.model_validate_json(envelope.model_dump_json())
    assert {"name": "a", "data": {}, "id": "", "ts": 0} == envelope.model_dump()["event"]


def test_the_data_of_a_typed_event_is_built_and_written() -> None:
    envelope = Envelope.model_validate_json('{"event":{"name":"a"},"typed":{"name":"o","data":{"at":"2030-01-02"}}}')

    assert envelope.typed is not None
    assert Order(at=datetime.date(2030, 1, 2)) == envelope.typed.data
    assert {"at": "2030-01-02"} == envelope.model_dump(mode="json")["typed"]["data"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"event": {}}, "name"),
        ({"event": {"name": ""}}, "name"),
        ({"event": {"name": "a", "data": [1]}}, "data"),
        ({"event": {"name": "a", "ts": "soon"}}, "ts"),
        ({"event": {"name": "a"}, "typed": {"name": "a", "data": {"at": "x"}}}, "at"),
    ],
)
def test_a_field_that_does_not_fit_is_named(given: Any, place: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Envelope.model_validate(given)

    assert place in {error["loc"][-1] for error in caught.value.errors()}


def test_an_event_has_a_schema_for_documentation() -> None:
    schema = Envelope.model_json_schema()["properties"]["event"]

    assert {"name", "data", "id", "ts"} == set(schema["properties"])
    assert ["name"] == schema["required"]


def test_a_step_gives_back_a_model_with_an_event() -> None:
    def make() -> Envelope:
        return Envelope(event=EVENT)

    async def body(ctx: Any) -> Any:
        return (await ctx.step.run("make", make)).event.name

    (op,) = call("sync", body).json
    reply = call("sync", body, steps={op["id"]: {"data": op["data"]}})

    assert (WIRE, "shop/order") == (op["data"]["event"], reply.json)


def test_a_step_gives_back_an_event_without_pydantic() -> None:
    def make() -> core.Event:
        return EVENT

    async def body(ctx: Any) -> Any:
        return (await ctx.step.run("make", make)).name

    (op,) = call("sync", body).json

    assert "shop/order" == call("sync", body, steps={op["id"]: {"data": op["data"]}}).json
    assert not is_pydantic(core.Event)


def test_pydantic_is_not_imported_for_events_that_it_does_not_see() -> None:
    assert "pydantic_core" not in loaded_by("stepserve_core")
