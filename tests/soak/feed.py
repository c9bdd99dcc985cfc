"""The events of the soak: sent without end while servers die, and sent again where nobody answered."""

from __future__ import annotations

import asyncio
import contextlib
import random

import httpx

from tests.resending import send_until_answered
from tests.soak.app import expected
from tests.soak.keys import EVENT_KEY

NAMES = sorted(expected(0))
RELEASED_AFTER = 3
"""How many numbers later comes what runs of a number wait for."""


class Feed:
    """Sends one event for each function and number. `sent` is how many numbers were accepted; they count from 0."""

    def __init__(self, http: httpx.AsyncClient, chance: random.Random) -> None:
        self._http = http
        self._chance = chance
        self.sent = 0
        self.stopping = False
        self.may_send = asyncio.Event()
        """Not set while too much waits."""
        self.may_send.set()

    async def run(self) -> None:
        """Send until `stopping`."""
        while not self.stopping:
            await self.may_send.wait()
            await self._send(self.sent)
            self.sent += 1
            with contextlib.suppress(httpx.HTTPError):
                await self.release(self.sent - RELEASED_AFTER)
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))

    async def _send(self, n: int) -> None:
        events = [{"name": f"soak/{name}", "id": f"{name}-{n}", "data": {"n": n}} for name in NAMES]
        answer = await send_until_answered(self._http, f"/e/{EVENT_KEY}", events, n)
        if answer.status_code != 200:
            raise RuntimeError(f"events were refused: {answer.status_code} {answer.text}")

    async def release(self, n: int) -> None:
        """Send everything that runs of a number may wait for."""
        events = [{"name": f"soak/{name}", "data": {"n": n}} for name in ("go", "stop")]
        await self._http.post(f"/e/{EVENT_KEY}", json=events)
        await self._http.post("/v1/signals", json={"signal": f"s-{n}", "data": n})
