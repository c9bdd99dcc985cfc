"""A client that sends nothing."""

from __future__ import annotations

import stepserve_core
from stepserve_core import Event
from stepserve_core.testing import EventSender, MiddlewareManager, Runtime, encode_events, server_of

EVENT_ID = "0" * 26


class _Sender(EventSender):
    async def deliver(self, events: list[Event], origin: str | None) -> list[str]:
        """Check events, and return an id for each; post them where a server of this process runs the function."""
        if server_of(self._client) is not None:
            return await super().deliver(events, origin)
        encode_events(events, None, origin)  # what could not be sent fails here too
        return [EVENT_ID for _ in events]


class Inngest(stepserve_core.Inngest):
    """A client for tests. Sending checks the events, calls middleware and returns an id for each; nothing is sent.

    Inside a harness, and while `Executor.embedded` runs its functions, it sends there what others would.
    """

    def make_sender(
        self, runtime: Runtime, middleware: MiddlewareManager | None, run_id: str | None = None
    ) -> EventSender:
        """Return what sends events for one request; here it does not."""
        return _Sender(self, runtime, middleware, run_id)
