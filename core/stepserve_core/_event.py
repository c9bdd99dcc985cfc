"""Events: what users send and what starts a run (protocol.md section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from stepserve_core.errors import EventInvalidError

EventT = TypeVar("EventT", bound="Event")


class Event(msgspec.Struct, kw_only=True):
    """An event.

    Args:
        name: what happened, such as "shop/order.created".
        data: the payload; anything JSON can carry.
        id: makes the event unique: the server starts no second run for the same id within 24 hours.
        ts: Unix milliseconds; 0 means now.

    Raises:
        EventInvalidError: a field is missing or has the wrong type.
    """

    name: str
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    id: str = ""
    ts: int = 0

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Check the fields; called when the event is made and again before it is sent."""
        if not isinstance(self.name, str) or not self.name:
            raise EventInvalidError("an event needs a name: Event(name='shop/order.created', data={…})")
        if self.data is None:
            self.data = {}
        if not isinstance(self.data, Mapping):
            raise EventInvalidError(f"event {self.name!r}: data must be a mapping, not {type(self.data).__name__}")
        if not isinstance(self.id, str):
            raise EventInvalidError(f"event {self.name!r}: id must be text, not {type(self.id).__name__}")
        if not isinstance(self.ts, int) or isinstance(self.ts, bool):
            raise EventInvalidError(f"event {self.name!r}: ts must be Unix milliseconds, not {type(self.ts).__name__}")

    @classmethod
    def from_raw(cls: type[EventT], raw: object) -> EventT:
        """Build an event from a mapping or from JSON text.

        Raises:
            EventInvalidError: it is not an event.
        """
        try:
            if isinstance(raw, (str, bytes)):
                return decode_event(raw, cls)
            return _from_wire(msgspec.convert(raw, _WireEvent), cls)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise EventInvalidError(f"not an event: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a mapping."""
        return {"name": self.name, "data": self.data, "id": self.id, "ts": self.ts}


def decode_event(raw: bytes | str | msgspec.Raw, cls: type[EventT]) -> EventT:
    """Decode the JSON text of an event; null or missing fields get their defaults (5.2)."""
    return _from_wire(_decode_wire(raw), cls)


def _from_wire(wire: _WireEvent, cls: type[EventT]) -> EventT:
    return cls(name=wire.name, data=wire.data or {}, id=wire.id or "", ts=wire.ts or 0)


class _WireEvent(msgspec.Struct):
    name: str
    data: dict[str, Any] | None = None
    id: str | None = None
    ts: int | None = None


_decode_wire = msgspec.json.Decoder(_WireEvent).decode
