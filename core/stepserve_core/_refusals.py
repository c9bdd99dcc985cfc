"""Telling of refused requests: whoever has no key may fill neither the log nor the time that writing it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core.errors import UnauthorizedError

_PAUSE = 1.0
"""Seconds in which one refusal is told; the others of that time are counted."""


class Refusals:
    """Tells of refused requests, of one in a second; the next line says how many there were in between.

    Threads may tell at the same time: the worst that happens is a line more, or a count that is off by one.
    """

    def __init__(self, client: Inngest, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._quiet_until = -_PAUSE
        self._untold = 0

    def tell(self, error: UnauthorizedError) -> None:
        """Write a warning that says why a request was refused, unless one was written just now."""
        now = self._clock()
        if now < self._quiet_until:
            self._untold += 1
            return
        self._quiet_until, untold, self._untold = now + _PAUSE, self._untold, 0
        if untold:
            self._client.logger.warning("refused a request: %s (and %d more since the last line)", error, untold)
        else:
            self._client.logger.warning("refused a request: %s", error)
