"""Publish to browsers, and let them subscribe (protocol.md 10.10 and 13.7)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urljoin

import msgspec

from stepserve_core import Inngest, _http
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from stepserve_core._serialize import encode_output, encode_wire
from stepserve_core.errors import Error

__all__ = ["get_subscription_token", "get_subscription_token_sync", "publish", "publish_sync"]

TIMEOUT = 30.0
"""Seconds for an answer."""


async def publish(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` to everybody who has subscribed to `topic` of `channel`. It is sent again when the code runs again.

    Raises:
        Error: the server did not take it.
        OutputUnserializableError: JSON cannot carry it.
    """
    await _publish(AsyncRuntime(), client, channel, topic, data)


def publish_sync(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` from sync code; see `publish`."""
    run_sync(_publish(SyncRuntime(), client, channel, topic, data))


async def get_subscription_token(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe: {"channel", "topics", "key"}. The key is valid for about a minute.

    Raises:
        Error: the server gave none.
    """
    return await _token(AsyncRuntime(), client, channel, topics)


def get_subscription_token_sync(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe; see `get_subscription_token`."""
    return run_sync(_token(SyncRuntime(), client, channel, topics))


async def _publish(runtime: Runtime, client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    query = urlencode({"channel": channel, "topic": topic})
    await _post(runtime, client, f"/v1/realtime/publish?{query}", encode_output(data, "the published data"))


async def _token(runtime: Runtime, client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    wanted = [{"channel": channel, "name": topic, "kind": "run"} for topic in topics]
    reply = await _post(runtime, client, "/v1/realtime/token", encode_wire(wanted))
    try:
        key = msgspec.json.decode(reply, type=_Token).jwt
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Error("the server answered with something that is no token") from None
    return {"channel": channel, "topics": topics, "key": key}


async def _post(runtime: Runtime, client: Inngest, path: str, body: bytes) -> bytes:
    url = urljoin(client.api_origin, path)
    try:
        response = await send_authenticated(
            client, runtime, "POST", url, headers=client.headers, body=body, timeout=TIMEOUT
        )
    except _http.HTTPFailedError as error:
        raise Error(f"{url} could not be reached: {error}") from None
    if not 200 <= response.status < 300:
        raise Error(f"HTTP error: {response.status} {response.body[:200].decode('utf-8', 'replace')}")
    return response.body


class _Token(msgspec.Struct):
    jwt: str
