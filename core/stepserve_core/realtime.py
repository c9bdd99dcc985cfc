"""Realtime: typed messages from functions to whoever has subscribed, such as browsers (protocol.md 13.7).

    orders = Channel("orders:{id}")
    status = orders.topic("status", Status)

    await ctx.step.realtime.publish("tell", status(id=7), Status(...))     # once, as a step
    await realtime.publish(client, status(id=7), Status(...))              # at once, and again when the code runs again
    token = await realtime.subscription_token(client, status(id=7))        # for a browser
    async for message in realtime.subscribe(client, status(id=7)): ...     # in Python

Nothing is stored: who has not subscribed yet misses a message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from stepserve_core import _realtime
from stepserve_core._realtime import Channel, Message, Topic
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, run_sync

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

__all__ = [
    "Channel",
    "Message",
    "Topic",
    "publish",
    "publish_sync",
    "subscribe",
    "subscription_token",
    "subscription_token_sync",
]

T = TypeVar("T")


async def publish(client: Inngest, topic: Topic[T], data: T, *, run_id: str | None = None) -> None:
    """Send `data` to all who have subscribed to `topic`, from async code.

    Raises:
        ValueError: the topic's channel has places that are not filled.
        OutputUnserializableError: JSON cannot carry the data.
        ServerAPIError: the server did not take it.
    """
    await _realtime.publish(client, AsyncRuntime(), topic, data, run_id)


def publish_sync(client: Inngest, topic: Topic[T], data: T, *, run_id: str | None = None) -> None:
    """Send `data` to all who have subscribed to `topic`, from sync code; see `publish`."""
    run_sync(_realtime.publish(client, SyncRuntime(), topic, data, run_id))


async def subscription_token(client: Inngest, *topics: Topic[Any]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe: {"channel", "topics", "key"}. The key is good for about a minute.

    Raises:
        ValueError: there are no topics, or they are of several channels.
        ServerAPIError: the server gave no token.
    """
    return await _realtime.subscription_token(client, AsyncRuntime(), topics)


def subscription_token_sync(client: Inngest, *topics: Topic[Any]) -> Mapping[str, object]:
    """Return what a browser needs to subscribe; see `subscription_token`."""
    return run_sync(_realtime.subscription_token(client, SyncRuntime(), topics))


def subscribe(client: Inngest, *topics: Topic[T]) -> AsyncGenerator[Message[T], None]:
    """Yield the messages of topics of one channel, as they come.

    When the connection breaks, or the server restarts, it is opened again by itself; what is published meanwhile is
    missed.

    The subscription begins with the first message that is asked for. Close it with `aclose()`, or leave the task.

    Raises:
        ServerAPIError: the server gave no token, or refused it. Once the subscription has begun, only for statuses
            below 500.
        ValueError: a message does not fit the type of its topic; or as for `subscription_token`.
    """
    return _realtime.subscribe(client, topics)
