"""Where a worker's connection stands, told across threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import threading

from stepserve_core.errors import ConnectError


class ConnectionState(enum.Enum):
    """Where a worker's connection stands (protocol.md 12.6).

    CONNECTING, then ACTIVE; RECONNECTING and CONNECTING again after a loss; CLOSING while calls are finished; CLOSED.
    PAUSED is of the protocol, and never set.
    """

    ACTIVE = "ACTIVE"
    CLOSED = "CLOSED"
    CLOSING = "CLOSING"
    CONNECTING = "CONNECTING"
    PAUSED = "PAUSED"
    RECONNECTING = "RECONNECTING"


class StateBox:
    """The current state. Set by one thread, awaited on any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = ConnectionState.CONNECTING
        self._waiting: list[tuple[ConnectionState, concurrent.futures.Future[None]]] = []

    def get(self) -> ConnectionState:
        """Return the state."""
        return self._state

    def set(self, state: ConnectionState) -> None:
        """Change the state. CLOSED is the last one, and none but CLOSED comes after CLOSING."""
        with self._lock:
            if self._state is ConnectionState.CLOSED:
                return
            if self._state is ConnectionState.CLOSING and state is not ConnectionState.CLOSED:
                return
            self._state = state
            waiting, self._waiting = self._waiting, []
            self._waiting = [one for one in waiting if not _tell(*one, state)]

    async def wait_for(self, state: ConnectionState) -> None:
        """Return when the state is `state`.

        Raises:
            ConnectError: the connection is closed, so that it never will be.
        """
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if not _tell(state, future, self._state):
                self._waiting.append((state, future))
        await asyncio.wrap_future(future)


def _tell(wanted: ConnectionState, future: concurrent.futures.Future[None], state: ConnectionState) -> bool:
    """End a wait if it is over; return whether it is."""
    if state is not wanted and state is not ConnectionState.CLOSED:
        return False
    if not future.set_running_or_notify_cancel():
        return True  # nobody waits any more
    if state is wanted:
        future.set_result(None)
    else:
        future.set_exception(ConnectError(f"the connection is closed and will not be {wanted.value}"))
    return True
