"""Sending events: middleware around, and their form on the wire (protocol.md section 8). `_event_api` posts them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core._event import Event
from stepserve_core._in_process import server_of
from stepserve_core._middleware import MiddlewareManager, SendEventsResult
from stepserve_core._runtime import Runtime, run_in_colour
from stepserve_core._serialize import as_given, encode_output, encode_wire
from stepserve_core.errors import EventInvalidError, OutputUnserializableError, SendEventsError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

MAX_EVENTS = 5000


class EventSender:
    """Sends events for one request, or for `client.send`: middleware around, retries inside.

    With the id of a run, events that its steps send get ids that are the same whenever a step is executed again.
    """

    def __init__(
        self, client: Inngest, runtime: Runtime, middleware: MiddlewareManager | None, run_id: str | None = None
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._middleware = middleware
        self._run_id = run_id

    @property
    def runtime(self) -> Runtime:
        """The runtime of the request."""
        return self._runtime

    def send_in_step(self, events: Event[Any] | Sequence[Event[Any]]) -> Any:
        """Send as the handler of a step: a coroutine in async functions, the ids in sync ones."""
        from stepserve_core._engine import executing_step  # noqa: PLC0415 - programs that only send have no engine

        step = executing_step()
        origin = None if step is None or self._run_id is None else f"{self._run_id}-{step.hashed}"
        return run_in_colour(self._runtime, self.send(events, origin))

    async def send(self, events: Event[Any] | Sequence[Event[Any]], origin: str | None = None) -> list[str]:
        """Send events; return their ids. Those without an id of their own get one that begins with `origin`.

        Raises:
            EventInvalidError: one of them cannot be sent; nothing was.
            EventKeyUnspecifiedError: production mode without an event key.
            SendEventsError: the server took only some of them, or none.
        """
        batch = _as_list(events)
        if self._middleware is None:
            return await self.deliver(batch, origin)
        await self._middleware.run("before_send_events", batch)
        try:
            ids = await self.deliver(batch, origin)
        except Exception as error:
            partial = error.ids if isinstance(error, SendEventsError) else []
            await self._middleware.run_reversed("after_send_events", SendEventsResult(error=str(error), ids=partial))
            raise
        await self._middleware.run_reversed("after_send_events", SendEventsResult(ids=ids))
        return ids

    async def deliver(self, events: list[Event], origin: str | None) -> list[str]:
        """Post events that middleware has seen; return their ids. Senders of tests have another."""
        if not events:
            return []
        from stepserve_core._event_api import post_events  # noqa: PLC0415 - every call has a sender, few calls send

        server = server_of(self._client)
        body = encode_events(events, None if server is None else server.now(), origin)
        return await post_events(self._client, self._runtime, body)


def _as_list(events: object) -> list[Event]:
    if isinstance(events, Event):
        return [events]
    if isinstance(events, Iterable) and not isinstance(events, (str, bytes, Mapping)):
        return list(events)
    raise EventInvalidError(f"send takes an Event or a list of them, not {type(events).__name__}")


def check_events(events: object) -> list[Event]:
    """Return events as a list, after a check that they can be sent."""
    batch = _as_list(events)
    encode_events(batch)
    return batch


def encode_events(events: Sequence[Event[Any]], moment: float | None = None, origin: str | None = None) -> bytes:
    """Return the body for `events` (8.1), which happen at `moment`, in Unix seconds, where they do not say.

    With an `origin`, those without an id get one of it and of their index.

    Raises:
        EventInvalidError: one of them is not an event, or holds what JSON cannot carry; the message says where.
    """
    if len(events) > MAX_EVENTS:
        raise EventInvalidError(
            f"at most {MAX_EVENTS} events can be sent at once, not {len(events)}; send them in parts"
        )
    now = int((time.time() if moment is None else moment) * 1000)
    return encode_wire([_wire(index, event, now, origin) for index, event in enumerate(events)])


def _wire(index: int, event: Event[Any], now: int, origin: str | None) -> dict[str, object]:
    if not isinstance(event, Event):
        raise EventInvalidError(f"item {index} is not an Event but {type(event).__name__}; write Event(name=…, data=…)")
    event.validate()
    try:
        data = msgspec.Raw(encode_output(event.data, f"event {event.name!r}"))
    except OutputUnserializableError as error:
        raise EventInvalidError(as_given(error)) from None
    fields: dict[str, object] = {"data": data, "name": event.name, "ts": event.ts or now}
    event_id = event.id or (None if origin is None else f"{origin}-{index}")
    return {**fields, "id": event_id} if event_id else fields
