"""Answers that the gateway has not acknowledged yet (protocol.md 12.5). No I/O."""

from __future__ import annotations

import asyncio

from stepserve_core.connect.messages import WorkerReply

LARGEST = 500 * 1024 * 1024
"""Bytes of answers that are kept; then the oldest are dropped, and their calls are made again when leases end."""


class Outbox:
    """Keeps answers until they are acknowledged."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._replies: dict[str, tuple[WorkerReply, float]] = {}
        self._size = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._filled = asyncio.Event()

    def put(self, reply: WorkerReply, now: float) -> list[str]:
        """Keep an answer; return the ids of the calls whose answers had to give way."""
        self.remove(reply.request_id)
        self._replies[reply.request_id] = (reply, now)
        self._size += len(reply.body)
        self._empty.clear()
        self._filled.set()
        dropped: list[str] = []
        while self._size > self._largest and len(self._replies) > 1:
            dropped.append(next(iter(self._replies)))
            self.remove(dropped[-1])
        return dropped

    def remove(self, request_id: str) -> None:
        """Forget an answer that was acknowledged."""
        kept = self._replies.pop(request_id, None)
        if kept is not None:
            self._size -= len(kept[0].body)
        if not self._replies:
            self._empty.set()
            self._filled.clear()

    def older_than(self, moment: float) -> list[WorkerReply]:
        """Return the answers that were put in before `moment`, the oldest first."""
        return [reply for reply, put_at in self._replies.values() if put_at < moment]

    def all(self) -> list[WorkerReply]:
        """Return the answers, the oldest first."""
        return [reply for reply, _ in self._replies.values()]

    async def filled(self) -> None:
        """Return when there is something."""
        await self._filled.wait()

    async def emptied(self) -> None:
        """Return when everything was acknowledged."""
        await self._empty.wait()
