"""The state of a run as a call brings it: its events, and what was too large for the request (protocol.md 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core import _http
from stepserve_core._event import Event, decode_event
from stepserve_core._protocol import Call
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import Runtime
from stepserve_core.errors import BodyInvalidError, StateUnavailableError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

TIMEOUT = 30.0
"""Seconds for each of the two requests."""


class Events:
    """The events of a call, decoded when they are asked for, and only once where one event came twice."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._first: Event | None = None

    def first(self) -> Event:
        """Return the event that started the run."""
        if self._first is None:
            self._first = _read_event(self._call.event)
        return self._first

    def all(self) -> list[Event]:
        """Return all events of a batch; otherwise the one."""
        raws = self._call.events or [self._call.event]
        if len(raws) == 1 and memoryview(raws[0]) == memoryview(self._call.event):
            return [self.first()]
        return [_read_event(raw) for raw in raws]


async def fetch_state(client: Inngest, runtime: Runtime, call: Call) -> None:
    """Fetch the memos and events that were too large for the request, and put them into `call` (5.4).

    Raises:
        StateUnavailableError: the server did not give them.
        BodyInvalidError: it gave something else.
    """

    async def get(what: str, shape: type[Any], wanted: str) -> Any:
        url = client.settings.api_url(f"/v0/runs/{call.ctx.run_id}/{what}")
        try:
            response = await send_authenticated(client, runtime, "GET", url, headers=client.headers, timeout=TIMEOUT)
        except _http.HTTPFailedError as error:
            raise StateUnavailableError(f"the run's state could not be fetched from {url}: {error}") from None
        if response.status >= 400:
            text = response.body[:200].decode("utf-8", "replace")
            raise StateUnavailableError(f"HTTP error: {response.status} {text}")
        try:
            return msgspec.json.decode(response.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BodyInvalidError(wanted) from None

    events, memos = await runtime.gather(
        lambda: get("batch", list[msgspec.Raw], "batch data is not an array"),
        lambda: get("actions", dict[str, Any], "step data is not an object"),
    )
    call.events, call.steps = events, memos


def _read_event(raw: msgspec.Raw) -> Event:
    try:
        return decode_event(raw, Event)
    except msgspec.ValidationError as error:
        raise BodyInvalidError(f"the request body is not as the protocol has it: event: {error}") from None
