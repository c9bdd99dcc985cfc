"""Passing messages on to subscribers, in memory (executor.md 10.2 and 10.3)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Iterable

from stepserve_core.executor import limits
from stepserve_core.executor.realtime.tokens import Topic

MOST_WAITING = 1000
MOST_WAITING_BYTES = 16 * limits.MEBIBYTE
"""Messages that wait for a slow subscriber; with more it is dropped, so that it cannot eat up the memory."""

_GRACE = 2.0
"""Seconds for telling subscribers that the server stops."""

_Key = tuple[str, str]


class Subscription:
    """One subscriber: its topics, and the messages that it has not read yet."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self.topics: set[_Key] = set()
        self.is_closed = False

    def add(self, topics: Iterable[Topic]) -> None:
        """Subscribe to more."""
        for topic in topics:
            self.topics.add(topic.key)
            self._broker.subscribers.setdefault(topic.key, set()).add(self)

    def remove(self, topics: Iterable[Topic]) -> None:
        """Subscribe to less."""
        for topic in topics:
            self._forget(topic.key)

    def put(self, message: bytes) -> None:
        """Take a message in."""
        if len(self._waiting) >= MOST_WAITING or self._size + len(message) > MOST_WAITING_BYTES:
            self.close()
            return
        self._waiting.append(message)
        self._size += len(message)
        self._news.set()

    async def take(self, timeout: float) -> bytes | None:
        """Return the next message; None after `timeout` seconds, or when the subscription has ended."""
        if not self._waiting and not self.is_closed:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), timeout)
            except asyncio.TimeoutError:
                return None
        if not self._waiting:
            return None
        message = self._waiting.popleft()
        self._size -= len(message)
        return message

    def close(self) -> None:
        """End the subscription."""
        self.is_closed = True
        self._news.set()
        for key in list(self.topics):
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        self.topics.discard(key)
        subscribers = self._broker.subscribers.get(key, set())
        subscribers.discard(self)
        if not subscribers:
            self._broker.subscribers.pop(key, None)


class Broker:
    """Knows who has subscribed to what.

    `secret` signs the tokens: derived from the signing key where there is one, so that tokens survive a restart.
    """

    def __init__(self, signing_key: str | None) -> None:
        self.secret = secrets.token_bytes(32) if signing_key is None else f"realtime:{signing_key}".encode()
        self.subscribers: dict[_Key, set[Subscription]] = {}
        self._all: set[Subscription] = set()
        self._empty = asyncio.Event()
        self.is_closed = False

    def subscribe(self, topics: Iterable[Topic]) -> Subscription:
        """Return a new subscription; whoever opened it closes it."""
        subscription = Subscription(self)
        subscription.add(topics)
        self._all.add(subscription)
        self._empty.clear()
        if self.is_closed:
            subscription.close()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        subscription.close()
        self._all.discard(subscription)
        if not self._all:
            self._empty.set()

    def publish(self, channel: str, topic: str, message: bytes) -> int:
        """Pass a message on; return how many get it."""
        receivers = [
            subscription for key in ((channel, topic), ("", topic)) for subscription in self.subscribers.get(key, ())
        ]
        for subscription in receivers:
            subscription.put(message)
        return len(receivers)

    async def close(self) -> None:
        """End all subscriptions, and those to come; return when subscribers have been told, or do not listen."""
        self.is_closed = True
        for subscription in list(self._all):
            subscription.close()
        if self._all:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _GRACE)
