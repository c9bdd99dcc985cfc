"""Streaming from durable endpoints: what a route does, told to its client while it does it (protocol.md 13.3 item 5).

    async def write() -> str:
        return "".join(await stream.pipe(model.tokens("a haiku")))

    text = await step.run("write", write)

Clients that ask for `text/event-stream` get what is pushed, and the answer as the last event. For others, and outside
of durable endpoints, nothing is sent. What a step pushes is taken back if the step fails, and not sent again when its
memo is replayed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import TypeVar

from stepserve_core._endpoint_events import encode_piece, listening
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, run_sync
from stepserve_core._threads import is_on_loop

__all__ = ["pipe", "pipe_sync", "push", "push_sync"]

T = TypeVar("T")


async def push(data: object) -> None:
    """Send something that JSON can carry to the client, from async code; wait if the client is slow.

    Raises:
        OutputUnserializableError: JSON cannot carry it.
        EndpointUnsupportedError: it has more than 256 KiB.
    """
    piece, events = encode_piece(data), listening.get()
    if events is not None:
        await events.push(AsyncRuntime(), piece)


def push_sync(data: object) -> None:
    """Send something to the client, from sync code; see `push`.

    Called from an event loop, as by a callback, it does not wait. A client that is a mebibyte behind is given up then.
    """
    piece, events = encode_piece(data), listening.get()
    if events is None:
        return
    if is_on_loop():
        events.push_at_once(piece)
    else:
        run_sync(events.push(SyncRuntime(), piece))


async def pipe(source: AsyncIterable[T] | Iterable[T]) -> list[T]:
    """Push each thing that comes from `source`, and return all of them."""
    items: list[T] = []
    if isinstance(source, AsyncIterable):
        async for item in source:
            await push(item)
            items.append(item)
    else:
        for item in source:
            await push(item)
            items.append(item)
    return items


def pipe_sync(source: Iterable[T]) -> list[T]:
    """Push each thing that comes from `source`, and return all of them; see `push_sync`."""
    items: list[T] = []
    for item in source:
        push_sync(item)
        items.append(item)
    return items
