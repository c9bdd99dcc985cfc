"""Sending events to the event API, with retries that the server recognises (protocol.md section 8)."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import msgspec

from stepserve_core import _http, _protocol
from stepserve_core._engine import executing_step
from stepserve_core._event import Event
from stepserve_core._in_process import server_of
from stepserve_core._middleware import MiddlewareManager, SendEventsResult
from stepserve_core._runtime import Runtime, run_in_colour
from stepserve_core._serialize import as_given, encode_output, encode_wire
from stepserve_core.errors import (
    EventInvalidError,
    EventKeyUnspecifiedError,
    OutputUnserializableError,
    SendEventsError,
)

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

ATTEMPTS = 5
MAX_EVENTS = 5000
DEV_EVENT_KEY = "NO_EVENT_KEY_SET"


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
            return await self._deliver(batch, origin)
        await self._middleware.run("before_send_events", batch)
        try:
            ids = await self._deliver(batch, origin)
        except Exception as error:
            partial = error.ids if isinstance(error, SendEventsError) else []
            await self._middleware.run_reversed("after_send_events", SendEventsResult(error=str(error), ids=partial))
            raise
        await self._middleware.run_reversed("after_send_events", SendEventsResult(ids=ids))
        return ids

    async def _deliver(self, events: list[Event], origin: str | None) -> list[str]:
        if not events:
            return []
        url = self._url()
        server = server_of(self._client)
        body = encode_events(events, None if server is None else server.now(), origin)
        headers = {**self._client.headers, _protocol.EVENT_ID_SEED: make_seed()}
        return read_reply(*await self._post(url, body, headers))

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        failure = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                jitter = os.urandom(1)[0] / 2550  # up to a tenth of a second
                await self._runtime.sleep(0.1 * 2 ** (attempt - 1) + jitter)
            try:
                timeout = self._client.request_timeout
                response = await _http.ask(
                    self._client, self._runtime, "POST", url, headers=headers, body=body, timeout=timeout
                )
            except _http.HTTPFailedError as error:
                failure = str(error)
                continue
            if response.status < 500:
                return response.status, response.body
            failure = f"HTTP {response.status}: {_excerpt(response.body)}"
        raise SendEventsError(f"no event was taken in {ATTEMPTS} attempts; the last one ended with {failure}", [])

    def _url(self) -> str:
        key = self._client.event_key
        if key is None:
            if self._client.is_production and server_of(self._client) is None:
                raise EventKeyUnspecifiedError(
                    "production mode needs an event key to send events: set the environment variable"
                    " INNGEST_EVENT_KEY or pass Inngest(event_key=…)"
                )
            key = DEV_EVENT_KEY
        return urljoin(self._client.event_api_origin, f"/e/{quote(key, safe='')}")


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


def make_seed() -> str:
    """Return a fresh seed, from which the server derives the same ids at every retry (8.1)."""
    return f"{int(time.time() * 1000)},{base64.b64encode(os.urandom(10)).decode()}"


def read_reply(status: int, body: bytes) -> list[str]:
    """Return the ids of a reply (8.3).

    Raises:
        SendEventsError: the server reports an error; `ids` are those that it took.
    """
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SendEventsError(
            f"the event API answered HTTP {status} with something else: {_excerpt(body)}", []
        ) from None
    ids = [event_id for event_id in reply.ids or [] if event_id]
    if reply.error:
        raise SendEventsError(reply.error, ids)
    if status >= 400:
        raise SendEventsError(f"the event API answered HTTP {status}: {_excerpt(body)}", ids)
    return ids


class _Reply(msgspec.Struct):
    ids: list[str] | None = None
    error: str | None = None


def _excerpt(body: bytes) -> str:
    text = body[:200].decode("utf-8", "replace")
    return text if text.strip() else "(empty)"
