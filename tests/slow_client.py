"""A client over a bare socket, as slow as a test likes."""

from __future__ import annotations

import asyncio


async def talk(port: int, *pieces: bytes, dribble: bytes = b"") -> bytes:
    """Send pieces, then bytes one after the other for as long as the server takes them; return all that it says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drip() -> None:
        while dribble:
            await asyncio.sleep(0.01)
            writer.write(dribble)

    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0)
    dripping = asyncio.ensure_future(drip())
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        dripping.cancel()
        writer.close()
