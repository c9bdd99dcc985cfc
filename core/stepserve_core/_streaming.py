"""Streamed answers: bytes that keep the connection alive while a function works, then the result (protocol.md 5.7).

For hosts that cut connections on which nothing is sent for a while. The status of the result, its headers and its
body come in an envelope, because the real ones have left before the result is known.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import msgspec

from stepserve_core._protocol import Response
from stepserve_core._serialize import encode_wire

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

KEEP_ALIVE = 3.0
"""Seconds between the bytes that keep a connection alive."""

STATUS = 201


class Streaming(enum.Enum):
    """Whether answers to calls are streamed (protocol.md 5.7)."""

    DISABLE = "disable"
    FORCE = "force"


class Stream(msgspec.Struct, frozen=True):
    """A streamed answer of a sync framework."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]


class AsyncStream(msgspec.Struct, frozen=True):
    """A streamed answer of an async framework."""

    status: int
    headers: dict[str, str]
    chunks: AsyncGenerator[bytes, None]


def chunks(answer: Future[Response]) -> Iterator[bytes]:
    """Yield what is sent until `answer` is there, and then the answer.

    Nothing can interrupt a thread: if the client goes away, the work runs to its end and its result is dropped.
    """
    import concurrent.futures  # noqa: PLC0415 - only programs that stream pay for importing it

    while not answer.done():
        yield b" "
        concurrent.futures.wait([answer], KEEP_ALIVE)
    yield envelope(answer.result())


async def achunks(answer: asyncio.Task[Response]) -> AsyncGenerator[bytes, None]:
    """Yield what is sent until `answer` is there, and then the answer; end the work if the client goes away."""
    import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

    try:
        while not answer.done():
            yield b" "
            await asyncio.wait([answer], timeout=KEEP_ALIVE)
        yield envelope(answer.result())
    finally:
        answer.cancel()


def envelope(response: Response) -> bytes:
    """Return a response as one JSON object; the server reads the body as text, and the headers as the real ones."""
    return encode_wire({"body": response.body.decode(), "headers": response.headers, "status": response.status})
