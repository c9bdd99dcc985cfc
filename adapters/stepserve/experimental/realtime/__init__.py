"""Publish to browsers, and let them subscribe, under the names of the official package (protocol.md 10.10 and 13.7).

`step.realtime` publishes once in the life of a run, with typed topics.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepserve_core import Inngest, _realtime
from stepserve_core._realtime import Topic
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, run_sync

__all__ = ["get_subscription_token", "get_subscription_token_sync", "publish", "publish_sync"]


async def publish(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` to everybody who has subscribed to `topic` of `channel`. It is sent again when the code runs again.

    Raises:
        ServerAPIError: the server did not take it.
        OutputUnserializableError: JSON cannot carry it.
    """
    await _realtime.publish(client, AsyncRuntime(), Topic(channel, topic), data, None)


def publish_sync(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` from sync code; see `publish`."""
    run_sync(_realtime.publish(client, SyncRuntime(), Topic(channel, topic), data, None))


async def get_subscription_token(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe: {"channel", "topics", "key"}. The key is valid for about a minute.

    Raises:
        ServerAPIError: the server gave none.
        ValueError: there are no topics.
    """
    return await _realtime.subscription_token(client, AsyncRuntime(), [Topic(channel, topic) for topic in topics])


def get_subscription_token_sync(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe; see `get_subscription_token`."""
    return run_sync(_realtime.subscription_token(client, SyncRuntime(), [Topic(channel, topic) for topic in topics]))
