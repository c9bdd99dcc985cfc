"""The body of a request to an ASGI app that is written without a framework."""

from __future__ import annotations

from typing import Any


async def read_body(receive: Any) -> bytes:
    """Return all of the body."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)
