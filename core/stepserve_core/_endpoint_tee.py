"""How a route that the server calls again reaches the client: through the server (protocol.md 13.3 item 5).

What is pushed goes out in requests, one after the other; each takes all that waits when it begins. One request with a
body that grows would say the same, but proxies in between keep such bodies until they end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from stepserve_core._pipe import PATIENCE, Pipe, wait
from stepserve_core._rest import ask_server
from stepserve_core._runtime import Runtime, SyncRuntime, run_sync
from stepserve_core._threads import senders
from stepserve_core.errors import ServerAPIError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from stepserve_core._client import Inngest

PATH = "/v1/realtime/publish/tee"

LARGEST_REQUEST = 1000 * 1000
"""Bytes that servers take at once (executor.md 10.4)."""


class Tee(Pipe):
    """A pipe to a server, which passes on to subscribers what comes. It is emptied by threads of our own."""

    def __init__(self, client: Inngest, run_id: str) -> None:
        super().__init__()
        self._client = client
        self._run_id = run_id
        self._start = threading.Lock()
        self._is_sending = False
        self._flight: Future[None] | None = None

    def put(self, piece: bytes) -> None:
        """Add something, and see to it that it is sent.

        Only the answer of a route can be too large for that. The server, which is told in another way, passes it on.
        """
        if len(piece) > LARGEST_REQUEST:
            return
        super().put(piece)
        with self._start:
            if not self._is_sending and not self.is_empty:
                self._is_sending = True
                self._flight = senders.submit(self._send)

    def _send(self) -> None:
        while True:
            piece = self.take(LARGEST_REQUEST)
            if piece:
                self._publish(piece)
                continue
            with self._start:
                if self.is_empty:
                    self._is_sending = False
                    return

    def _publish(self, piece: bytes) -> None:
        query, purpose = {"channel": self._run_id}, f"what run {self._run_id} streams does not reach its client"
        asking = ask_server(
            self._client,
            SyncRuntime(),
            "POST",
            PATH,
            purpose=purpose,
            query=query,
            body=piece,
            content_type="text/event-stream",
        )
        try:
            run_sync(asking)
        except ServerAPIError as error:  # the run goes on without a listener
            self._client.logger.warning("%s", error)
            self.abandon()

    async def drain(self, runtime: Runtime) -> None:
        """Let nothing more in, and wait until everything was sent."""
        self.close()
        if self._flight is not None:
            await wait(runtime, self._flight, PATIENCE)
