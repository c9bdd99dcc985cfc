"""What starts a function, for type checkers: every trigger knows the type of the data of its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from typing_extensions import TypeVar

DataT_co = TypeVar("DataT_co", covariant=True, default=Mapping[str, Any])
"""The type of an event's data; of events that nobody declared, any JSON object."""


DataT = TypeVar("DataT", default=Mapping[str, Any])
"""The same, in functions."""


class Triggering(Generic[DataT_co]):
    """Base of triggers and of event types."""

    __slots__ = ()


def event_name(event: object) -> object:
    """Return the name behind an event type; anything else is returned as it is."""
    return getattr(event, "name", event) if isinstance(event, Triggering) else event
