"""Kinds of events with a declared type of data, checked when sent and when they arrive (protocol.md section 8)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast, overload

import msgspec
from typing_extensions import TypeVar

from stepserve_core import _config
from stepserve_core._config import TriggerEvent
from stepserve_core._converter import MisfitError, strict_converter_for
from stepserve_core._event import Event, event_from
from stepserve_core._serialize import as_given, encode_output
from stepserve_core._shapes import name_of_type, shape_of_type, shape_of_value
from stepserve_core._triggering import DataT_co, Triggering
from stepserve_core.errors import ConfigurationError, EventInvalidError, OutputUnserializableError

if TYPE_CHECKING:
    from stepserve_core._context import Context, ContextSync

DataT = TypeVar("DataT")

INVOKED = "inngest/function.invoked"
"""The event of a function that another one invokes; its data is what that one passed, and `_inngest`."""


class EventType(Triggering[DataT_co]):
    """A kind of event: its name, and the type of its data (protocol.md section 8).

        order_created = EventType("shop/order.created", OrderCreated)

        @client.create_function(fn_id="ship", trigger=order_created)
        def ship(ctx: ContextSync[OrderCreated]) -> None:
            ctx.event.data.order_id

        client.send_sync(order_created(OrderCreated(order_id=1)))

    It stands where an event is named: as a trigger (`where` adds an expression), in `TriggerEvent`, `Cancel` and
    `wait_for_event`; called with data it makes an event.

    Args:
        name: what happened, such as "shop/order.created".
        data: a type whose JSON is an object: a pydantic model, dataclass, TypedDict, attrs class, msgspec Struct, or a
            union of them. Annotate for type checkers if it is a union: `created: EventType[A | B] = EventType(…)`.

    Raises:
        ConfigurationError: the name is no text, or values of the type cannot be built from JSON.
    """

    __slots__ = ("_converter", "data_type", "name")

    @overload
    def __init__(self, name: str, data: type[DataT_co]) -> None: ...

    @overload
    def __init__(self: EventType[Any], name: str, data: object) -> None: ...

    def __init__(self, name: str, data: object) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError("EventType(name, data): name must be text, such as 'shop/order.created'")
        try:
            self._converter = strict_converter_for(data)
        except Exception as error:  # types of any library, which may raise anything
            raise ConfigurationError(f"EventType({name!r}, {name_of_type(data)}): {error}") from error
        self.name = name
        self.data_type: Any = data

    def __repr__(self) -> str:
        return f"EventType({self.name!r}, {name_of_type(self.data_type)})"

    def __call__(
        self,
        data: DataT_co,  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues] # nobody widens an EventType to send
        *,
        id: str = "",  # noqa: A002 - the name of the field
        ts: int = 0,
    ) -> Event:
        """Make an event of `data`, which is checked; the event holds it as JSON. `id`, `ts`: see `Event`.

        Raises:
            EventInvalidError: the data does not fit its type, or JSON cannot carry it; the message says where.
        """
        return Event(name=self.name, data=self.dump(data), id=id, ts=ts)

    def event(
        self,
        data: DataT_co,  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues] # see above
        *,
        id: str = "",  # noqa: A002
        ts: int = 0,
    ) -> Event:
        """Make an event, as calling the event type does."""
        return self(data, id=id, ts=ts)

    def where(self, expression: str) -> TriggerEvent[DataT_co]:
        """Return a trigger for those events for which `expression` is true, such as "event.data.total > 100"."""
        return TriggerEvent(event=self, expression=expression)

    def read(self, event: Event[Any] | Mapping[str, Any]) -> Event[DataT_co]:
        """Return an event, or its JSON object, with typed data.

        It is for events inside of others, such as `ctx.event.data["event"]` in a failure handler.

        Raises:
            EventInvalidError: it is no event, or its data does not fit; the message says where. It is not retried.
        """
        event = event if isinstance(event, Event) else event_from(event)
        typed: Event[Any] = Event(name=event.name, id=event.id, ts=event.ts)
        typed.data = self.load(event.data)
        return typed

    def dump(self, data: object) -> dict[str, Any]:
        """Return `data` as the JSON object that is sent, after a check."""
        where = f"event {self.name!r}"
        try:
            encoded = encode_output(self._converter.dump(data, where), where)
        except OutputUnserializableError as error:
            raise EventInvalidError(as_given(error)) from None
        wire = msgspec.json.decode(encoded)
        self.load(wire)
        if not isinstance(wire, dict):
            raise EventInvalidError(f"{where}: data must be an object, not {shape_of_value(wire)}")
        return cast("dict[str, Any]", wire)

    def load(self, data: object) -> Any:
        """Return typed data for a JSON object; what servers add to it under `_inngest` is left out."""
        if isinstance(data, dict) and "_inngest" in data:
            data = {key: value for key, value in data.items() if key != "_inngest"}
        try:
            return self._converter.load(data)
        except MisfitError as misfit:
            raise EventInvalidError(
                f"event {self.name!r}: its data does not fit {name_of_type(self.data_type)} {misfit}. The data is"
                f" {shape_of_value(data)}, the type {shape_of_type(self.data_type)}"
            ) from None


class EventTypes:
    """The types of the events that start a function, found by name; false if none has one."""

    def __init__(self, triggers: Iterable[object]) -> None:
        self._by_name: dict[str, EventType[Any] | None] = {}
        for trigger in triggers:
            event = trigger.event if isinstance(trigger, TriggerEvent) else trigger
            name = event.name if isinstance(event, EventType) else event
            if isinstance(name, str) and self._by_name.get(name) is None:
                self._by_name[name] = event if isinstance(event, EventType) else None
        self._typed = [typed for typed in self._by_name.values() if typed is not None]

    def __bool__(self) -> bool:
        return bool(self._typed)

    def apply(self, context: Context[Any] | ContextSync[Any]) -> None:
        """Give the events of a context typed data, before the function sees them.

        Raises:
            EventInvalidError: the data of one does not fit. It is not retried: the event would be the same.
        """
        first = context.event
        events = [self._read(event) if event is not first else event for event in context.events]
        context.event = self._read(first)
        context.events = [context.event if event is first else event for event in events]

    def dump(self, data: object) -> dict[str, Any]:
        """Return the JSON object with which the function can be invoked."""
        given = {} if data is None else data
        wire: dict[str, Any] = self._first_fit([partial(typed.dump, given) for typed in self._typed])
        return wire

    def _read(self, event: Event[Any]) -> Event[Any]:
        if event.name == INVOKED:
            if None in self._by_name.values():
                return event  # as good as what an untyped trigger brings
            return self._first_fit([partial(typed.read, event) for typed in self._typed])  # type: ignore[no-any-return]
        typed = self._by_name.get(event.name) or self._by_pattern(event.name)
        return event if typed is None else typed.read(event)

    def _by_pattern(self, name: str) -> EventType[Any] | None:
        if name in self._by_name:
            return None
        for pattern, typed in self._by_name.items():
            if "*" in pattern and re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name):
                return typed
        return None

    def _first_fit(self, attempts: list[Any]) -> Any:
        problems: list[str] = []
        for attempt in attempts:
            try:
                return attempt()
            except EventInvalidError as error:
                problems.append(str(error))
        raise EventInvalidError("; ".join(problems))


# Annotations of options name this class; whoever resolves them (inspect.signature, get_type_hints) looks there.
_config.__dict__["EventType"] = EventType
