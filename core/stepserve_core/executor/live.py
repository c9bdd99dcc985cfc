"""The live feed: what changed, a few times a second, for pages that look on. Who was away a moment catches up."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable

import msgspec

from stepserve_core.executor.realtime.broker import Broker, Subscription
from stepserve_core.executor.realtime.tokens import Topic
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.store import Store

PAUSE = 0.2
"""Seconds for which changes are collected into one message: however many runs, nobody gets more than five a second."""

MOST_RUNS = 500
"""Runs that one message names; where there are more, it says so."""

MOST_KEPT = 600
"""Messages that are kept for those who come back: two minutes of the busiest server."""

_TOPIC = Topic("changes", channel="live")


class LiveFeed:
    """Collects what transactions touch and passes it on as server-sent events with ids.

    An id is that of the process and a number, so that those who come back after a restart are told to look anew.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._broker = Broker(None)
        self._process = secrets.token_hex(6)
        self._number = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=MOST_KEPT)
        self._changes = Changes()
        self._timer: asyncio.TimerHandle | None = None
        self._is_watching = False

    def follow(self, last_id: str | None) -> tuple[Subscription, list[bytes]]:
        """Subscribe; return what is to be sent at once as well: what was missed since `last_id`, or where we are.

        Whoever follows leaves in the end.
        """
        if not self._is_watching:
            self._store.watch(self._collect)
            self._is_watching = True
        subscription = self._broker.subscribe([_TOPIC])
        if last_id is None:
            return subscription, [self._message("hello", self._number, b"{}")]
        missed = self._since(last_id)
        if missed is None:
            return subscription, [self._message("reset", self._number, b"{}")]
        return subscription, list(missed)

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._broker.leave(subscription)

    async def close(self) -> None:
        """End all subscriptions, and those to come."""
        if self._timer is not None:
            self._timer.cancel()
        await self._broker.close()

    def _since(self, last_id: str) -> Iterable[bytes] | None:
        """Return what came after an id; None where that is not known any more."""
        process, _, text = last_id.rpartition("-")
        if process != self._process or not (text.isascii() and text.isdigit() and len(text) < 16):
            return None
        number = int(text)
        oldest = self._kept[0][0] if self._kept else self._number + 1
        if not oldest - 1 <= number <= self._number:
            return None
        return (message for kept, message in self._kept if kept > number)

    def _collect(self, changes: Changes) -> None:
        self._changes.add(changes)
        if self._timer is None and not self._broker.is_closed:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._publish)

    def _publish(self) -> None:
        self._timer = None
        changes = self._changes.take()
        runs = sorted(changes.runs)
        data = {
            "runs": runs[-MOST_RUNS:],
            "moreRuns": len(runs) > MOST_RUNS,
            "events": changes.events,
            "apps": changes.apps,
        }
        self._number += 1
        message = self._message("changes", self._number, msgspec.json.encode(data))
        self._kept.append((self._number, message))
        self._broker.publish(_TOPIC.channel, _TOPIC.name, message)

    def _message(self, kind: str, number: int, data: bytes) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._process.encode(), number, kind.encode(), data)
