"""What durable endpoints stream through the server: passed on as it is, and kept for a while (executor.md 10.4).

A client learns only from its app that it shall listen here, when the app may have been called again already. So what a
run streamed is kept, up to a bound, for those who come late; and for those who come back, who get it from the start.
"""

from __future__ import annotations

from collections import OrderedDict

from stepserve_core.executor import limits
from stepserve_core.executor.realtime.broker import Broker, Subscription
from stepserve_core.executor.realtime.tokens import STREAM, Topic
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.store import Store

MOST_OF_RUN = limits.MEBIBYTE
"""Bytes that are kept of one run; of more, the newest."""

MOST_OF_ALL = 64 * limits.MEBIBYTE
"""Bytes that are kept of all runs; of more, those of the runs that were silent longest are dropped."""

_END = b"\n\n"
_LAST_EVENT = b"event: inngest.response\n"


class Frames(bytes):
    """Whole server-sent events, which subscribers get as they are."""

    @property
    def is_last(self) -> bool:
        """Say whether they tell how the route answered."""
        return self.startswith(_LAST_EVENT) or self.find(_END + _LAST_EVENT) >= 0


_NUDGE = Frames()


class Splitter:
    """Cuts what arrives into whole events, so that those of requests at the same time do not mix."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Frames:
        """Take a piece; return the events that are complete, which may be none."""
        whole, end, self._rest = (self._rest + piece).rpartition(_END)
        return Frames(whole + end)

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is left."""
        return not self._rest


class _Kept:
    """What one run streamed."""

    def __init__(self) -> None:
        self.frames: list[Frames] = []
        self.size = 0
        self.has_ended = False

    def add(self, frames: Frames) -> None:
        self.frames.append(frames)
        self.size += len(frames)
        self.has_ended = self.has_ended or frames.is_last
        while self.size > MOST_OF_RUN and len(self.frames) > 1:
            self.size -= len(self.frames.pop(0))


class EndpointStreams:
    """What runs streamed lately, in memory, and who follows them. Used on the executor's event loop only."""

    def __init__(self, broker: Broker, store: Store) -> None:
        self._broker = broker
        self._store = store
        self._is_watching = False
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    def follow(self, run_id: str) -> tuple[Subscription, Frames]:
        """Subscribe to a run; return what it has streamed as well.

        An empty message says that the run has changed, and may have ended. Whoever follows leaves the broker.
        """
        if not self._is_watching:
            self._store.watch(self._nudge)
            self._is_watching = True
        subscription = self._broker.subscribe([Topic(STREAM, run_id)])
        subscription.put(_NUDGE)  # it may have ended before
        kept = self._kept.get(run_id)
        return subscription, Frames(b"" if kept is None else b"".join(kept.frames))

    def _nudge(self, changes: Changes) -> None:
        for run_id in changes.runs:
            self._broker.publish(run_id, STREAM, _NUDGE)

    def publish(self, run_id: str, frames: Frames) -> None:
        """Pass on what a run streams, and keep it."""
        if not frames:
            return
        self._broker.publish(run_id, STREAM, frames)
        kept = self._kept.setdefault(run_id, _Kept())
        self._kept.move_to_end(run_id)
        self._size -= kept.size
        kept.add(frames)
        self._size += kept.size
        while self._size > MOST_OF_ALL and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1].size

    def has_ended(self, run_id: str) -> bool:
        """Say whether it was told how the route answered."""
        kept = self._kept.get(run_id)
        return kept is not None and kept.has_ended
