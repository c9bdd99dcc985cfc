"""Events: what users send and what starts a run (protocol.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from stepserve_core._model import Model
from stepserve_core._survey import is_pydantic, is_record
from stepserve_core._triggering import DataT_co
from stepserve_core.errors import EventInvalidError

EventT = TypeVar("EventT", bound="Event[Any]")


class Event(Model, Generic[DataT_co], kw_only=True):
    """An event (protocol.md 8.1).

    Args:
        name: what happened, such as "shop/order.created".
        data: the payload; anything JSON can carry. Containers in it are copied, so that a dict may be used again.
        id: makes the event unique: the server starts no second run for the same id within 24 hours.
        ts: Unix milliseconds; 0 means now.

    Raises:
        EventInvalidError: a field has the wrong type. It is a ValueError, as pydantic's ValidationError is.
    """

    name: str
    data: DataT_co = msgspec.field(default_factory=dict)  # type: ignore[assignment] # the default of its type
    id: str = ""
    ts: int = 0

    def __post_init__(self) -> None:
        self.validate()
        if self.data:
            try:
                self.data = _snapshot(self.data)
            except RecursionError:
                raise EventInvalidError(
                    f"event {self.name!r}: data contains itself, or is nested too deeply for JSON"
                ) from None

    def validate(self) -> None:
        """Check the fields; called when the event is made and again before it is sent."""
        if not isinstance(self.name, str) or not self.name:
            raise EventInvalidError("an event needs a name: Event(name='shop/order.created', data={…})")
        data: Any = self.data
        if data is None:
            self.data = cast("DataT_co", {})
        elif not isinstance(data, Mapping) and not _is_object(type(data)):
            raise EventInvalidError(f"event {self.name!r}: data must be a mapping, not {type(data).__name__}")
        if not isinstance(self.id, str):
            raise EventInvalidError(f"event {self.name!r}: id must be text, not {type(self.id).__name__}")
        if not isinstance(self.ts, int) or isinstance(self.ts, bool):
            raise EventInvalidError(f"event {self.name!r}: ts must be Unix milliseconds, not {type(self.ts).__name__}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Any) -> Any:
        """Let events be fields of pydantic models, as those of the official SDK can."""
        from stepserve_core._pydantic_event import event_schema  # noqa: PLC0415 - it imports pydantic

        return event_schema(cls, source, handler)

    @classmethod
    def complaint(cls, text: str) -> EventInvalidError:
        """Return the error for a value of which no event can be made."""
        return EventInvalidError(f"not an event: {text}")


def _is_object(cls: type) -> bool:
    """Say whether values of `cls` are objects in JSON."""
    return is_pydantic(cls) or (is_record(cls) and not issubclass(cls, tuple))


def _snapshot(value: Any) -> Any:
    """Return `value` with its containers copied."""
    if isinstance(value, dict):
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_snapshot(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def decode_event(raw: bytes | str | msgspec.Raw, cls: type[EventT]) -> EventT:
    """Decode the JSON text of an event; null or missing fields get their defaults (5.2)."""
    return _from_wire(_decode_wire(raw), cls)


def event_from(memo: object) -> Event:
    """Return the event that a memo holds (5.3).

    Raises:
        EventInvalidError: it is none.
    """
    try:
        return _from_wire(msgspec.convert(memo, _WireEvent), Event)
    except msgspec.ValidationError as error:
        raise Event.complaint(str(error)) from None


def _from_wire(wire: _WireEvent, cls: type[EventT]) -> EventT:
    event = cls(name=wire.name, id=wire.id or "", ts=wire.ts or 0)
    if wire.data:
        event.data = wire.data  # fresh from the wire: nobody else holds it, so it need not be copied
    return event


class _WireEvent(msgspec.Struct):
    name: str
    data: dict[str, Any] | None = None
    id: str | None = None
    ts: int | None = None


_decode_wire = msgspec.json.Decoder(_WireEvent).decode
