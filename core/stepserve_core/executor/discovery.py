"""Finding apps on this machine: the usual ports and paths are asked (executor.md 1.3)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence

import aiohttp

from stepserve_core import _protocol
from stepserve_core.executor.transport import within

PORTS = (80, 443, *range(3000, 3011), 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, *range(8910, 8916))
PATHS = ("/api/inngest", "/x/inngest", "/.netlify/functions/inngest", "/.redwood/functions/inngest")

_HOST = "127.0.0.1"
_PATIENCE = 2.0
"""Seconds for a connection, and for an answer."""


class Discovery:
    """Looks for apps: whatever answers with the header of an SDK.

    Args:
        ports: where to look; by default the usual ones, and that of the variable PORT.
        patience: seconds for a connection, and for an answer.
    """

    def __init__(self, ports: Sequence[int] | None = None, patience: float = _PATIENCE) -> None:
        self._ports = usual_ports(os.environ) if ports is None else tuple(ports)
        self._patience = patience

    async def look(self) -> list[str]:
        """Return the URLs of the apps that answer now, by port."""
        # Nobody is asked twice on one connection: what listens there may be anything.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            found = await asyncio.gather(*(self._look_at(session, port) for port in self._ports))
        return [url for urls in found for url in urls]

    async def _look_at(self, session: aiohttp.ClientSession, port: int) -> list[str]:
        if not await self._is_open(port):
            return []
        urls = [f"http://{_HOST}:{port}{path}" for path in PATHS]
        apps = await asyncio.gather(*(self._is_app(session, url) for url in urls))
        return [url for url, is_app in zip(urls, apps, strict=True) if is_app]

    async def _is_open(self, port: int) -> bool:
        try:
            _, writer = await within(self._patience, asyncio.open_connection(_HOST, port))
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _is_app(self, session: aiohttp.ClientSession, url: str) -> bool:
        try:
            return await within(self._patience, _has_sdk(session, url))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError):
            return False


async def _has_sdk(session: aiohttp.ClientSession, url: str) -> bool:
    """Redirects are not followed: they may lead off this machine."""
    async with session.get(url, allow_redirects=False) as response:
        return _protocol.SDK in response.headers


def usual_ports(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the ports where apps usually listen, with that of the variable PORT."""
    own = environment.get("PORT", "")
    extra = int(own) if own.isascii() and own.isdigit() and len(own) < 6 else 0
    return PORTS if extra in PORTS or not 0 < extra < 65536 else (*PORTS, extra)
