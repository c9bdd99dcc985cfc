"""Sending events to a server that dies now and then."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx


async def send_until_answered(
    http: httpx.AsyncClient, path: str, events: list[dict[str, Any]], n: int
) -> httpx.Response:
    """Send events, again and unchanged while nobody answers; return the answer.

    The seed, made of a number that no other request has, makes the internal ids of a repeated request equal, by which
    it is known.
    """
    seed = base64.b64encode((n << 32).to_bytes(10, "big")).decode()
    headers = {"x-inngest-event-id-seed": f"1700000000000,{seed}"}
    while True:
        try:
            return await http.post(path, json=events, headers=headers)
        except httpx.HTTPError:
            await asyncio.sleep(0.02)
