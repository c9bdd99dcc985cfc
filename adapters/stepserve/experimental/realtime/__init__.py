"""Publish to browsers, and let them subscribe, under the names of the official package (protocol.md 10.10 and 13.7).

`step.realtime` publishes once in the life of a run, with typed topics.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepserve_core import Inngest, realtime
from stepserve_core.realtime import Topic

__all__ = ["get_subscription_token", "get_subscription_token_sync", "publish", "publish_sync"]


async def publish(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` to everybody who has subscribed to `topic` of `channel`. It is sent again when the code runs again.

    Raises:
        ServerAPIError: the server did not take it.
        OutputUnserializableError: JSON cannot carry it.
    """
    await realtime.publish(client, Topic(channel, topic), data)


def publish_sync(client: Inngest, channel: str, topic: str, data: Mapping[str, object]) -> None:
    """Send `data` from sync code; see `publish`."""
    realtime.publish_sync(client, Topic(channel, topic), data)


async def get_subscription_token(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe: {"channel", "topics", "key"}. The key is valid for about a minute.

    Raises:
        ServerAPIError: the server gave none.
        ValueError: there are no topics.
    """
    return await realtime.subscription_token(client, *(Topic(channel, topic) for topic in topics))


def get_subscription_token_sync(client: Inngest, channel: str, topics: list[str]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe; see `get_subscription_token`."""
    return realtime.subscription_token_sync(client, *(Topic(channel, topic) for topic in topics))
