"""Requests to the event API: where events are posted, when again, and what the reply says (protocol.md section 8)."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from stepserve_core import _http, _protocol
from stepserve_core._in_process import server_of
from stepserve_core._runtime import Runtime
from stepserve_core.errors import EventKeyUnspecifiedError, SendEventsError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

ATTEMPTS = 5
DEV_EVENT_KEY = "NO_EVENT_KEY_SET"


async def post_events(client: Inngest, runtime: Runtime, body: bytes) -> list[str]:
    """Post the body of a request; return the ids of the events.

    Raises:
        EventKeyUnspecifiedError: production mode without an event key.
        SendEventsError: the server took only some of them, or none.
    """
    url = _url(client)
    headers = {**client.headers, _protocol.EVENT_ID_SEED: make_seed()}
    failure = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await runtime.sleep(_http.pause_before(attempt))
        try:
            response = await _http.ask(
                client, runtime, "POST", url, headers=headers, body=body, timeout=client.request_timeout
            )
        except _http.HTTPFailedError as error:
            failure = str(error)
            continue
        if response.status < 500:
            return read_reply(response.status, response.body)
        failure = f"HTTP {response.status}: {_excerpt(response.body)}"
    raise SendEventsError(f"no event was taken in {ATTEMPTS} attempts; the last one ended with {failure}", [])


def _url(client: Inngest) -> str:
    key = client.event_key
    if key is None:
        if client.is_production and server_of(client) is None:
            raise EventKeyUnspecifiedError(
                "production mode needs an event key to send events: set the environment variable"
                " INNGEST_EVENT_KEY or pass Inngest(event_key=…)"
            )
        key = DEV_EVENT_KEY
    return client.settings.event_api_url(f"/e/{quote(key, safe='')}")


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
