"""The events of the soak: sent without end while servers die, and sent again where nobody answered."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random

import httpx

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
        # The same seed gives the same internal ids, by which a repeated request is known.
        seed = base64.b64encode((n << 32).to_bytes(10, "big")).decode()
        while True:
            try:
                answer = await self._http.post(
                    f"/e/{EVENT_KEY}", json=events, headers={"x-inngest-event-id-seed": f"1700000000000,{seed}"}
                )
            except httpx.HTTPError:
                await asyncio.sleep(0.02)
            else:
                if answer.status_code != 200:
                    raise RuntimeError(f"events were refused: {answer.status_code} {answer.text}")
                return

    async def release(self, n: int) -> None:
        """Send everything that runs of a number may wait for."""
        events = [{"name": f"soak/{name}", "data": {"n": n}} for name in ("go", "stop")]
        await self._http.post(f"/e/{EVENT_KEY}", json=events)
        await self._http.post("/v1/signals", json={"signal": f"s-{n}", "data": n})
