"""What starts a function, for type checkers: every trigger knows the type of the data of its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from typing_extensions import TypeVar

DataT_co = TypeVar("DataT_co", covariant=True, default=Mapping[str, Any])
"""The type of an event's data; of events that nobody declared, any JSON object."""


DataT = TypeVar("DataT", default=Mapping[str, Any])
"""The same, in functions."""


OtherT = TypeVar("OtherT")


class Triggering(Generic[DataT_co]):
    """Base of triggers and of event types; `one | other` is either of them."""

    __slots__ = ()

    def __or__(self, other: Triggering[OtherT]) -> Triggers[DataT_co | OtherT]:
        """Return both, for `create_function(trigger=…)`."""
        return Triggers((self,)) | other


class Triggers(tuple[Triggering[DataT_co], ...]):
    """Several triggers, any of which starts a function.

    The data of the events is of one of their types. A list of triggers does the same; mypy takes the data for `object`
    there, because it looks for the base class that the members of a list share.
    """

    __slots__ = ()

    def __or__(self, other: Triggering[OtherT]) -> Triggers[DataT_co | OtherT]:
        """Return these, and another one."""
        if not isinstance(other, Triggering):
            return NotImplemented
        return Triggers((*self, other))


def event_name(event: object) -> object:
    """Return the name behind an event type; anything else is returned as it is."""
    return getattr(event, "name", event) if isinstance(event, Triggering) else event
