"""The connected workers, and the calls that they have: in memory, because sockets do not outlive the process.

What is durable is the queue: a call that no worker answered is made again.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from stepserve_core.connect.messages import ExtendLease, ExtendLeaseAck, SystemAttributes, WorkerReply
from stepserve_core.executor import ids
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.connect.intervals import Intervals

_log = logging.getLogger(__name__)

DEFAULT_CONCURRENCY = 1000
"""Calls that a worker may have at once if it does not say (executor.md 9.5)."""


class ConnectionStatus(enum.IntEnum):
    """Where a connection stands (executor.md 9.2)."""

    CONNECTED = 0
    READY = 1
    DRAINING = 2
    DISCONNECTING = 3
    DISCONNECTED = 4


class Connection:
    """A worker's connection. `apps` has the name of the app for each function's slug.

    Args:
        send: sends the bytes of a frame.
        now: the current moment in Unix seconds.
    """

    def __init__(
        self,
        connection_id: str,
        instance_id: str,
        apps: dict[str, str],
        send: Callable[[bytes], Awaitable[None]],
        *,
        max_concurrency: int | None,
        sdk: tuple[str, str],
        system: SystemAttributes,
        address: str,
        now: float,
    ) -> None:
        self.id = connection_id
        self.instance_id = instance_id
        self.apps = apps
        self.send = send
        self.max_concurrency = max_concurrency or DEFAULT_CONCURRENCY
        self.sdk = sdk
        self.system = system
        self.address = address
        self.connected_at = self.last_heartbeat_at = now
        self.status = ConnectionStatus.CONNECTED
        self.is_ready_at_once = True
        self.heard_at = tick()
        self.calls: set[str] = set()

    @property
    def app_names(self) -> set[str]:
        """The apps that the worker runs."""
        return set(self.apps.values())

    @property
    def load(self) -> float:
        """How full the worker is, from 0 to 1."""
        return len(self.calls) / self.max_concurrency


class GivenBackError(Exception):
    """The worker has not taken a call, or says that it will not finish it: another one may have it."""


class Forward:
    """A call that a worker has, or is being offered. `reply` is set with its answer, or why there is none."""

    def __init__(self, request_id: str, connection: Connection, lease: float) -> None:
        self.request_id = request_id
        self.connection = connection
        self.lease_id = ""
        self.lease_ends = 0.0
        self.is_acked = False
        self.reply: asyncio.Future[WorkerReply] = asyncio.get_running_loop().create_future()
        self.extend(lease)

    def extend(self, lease: float) -> None:
        """Begin a new lease."""
        self.lease_id = ids.new_id(time.time())
        self.lease_ends = tick() + lease

    def give_back(self, reason: str) -> None:
        """Let another worker have the call."""
        if not self.reply.done():
            self.reply.set_exception(GivenBackError(reason))


class Workers:
    """Who is connected, and who has which call.

    `on_room` is told the apps for which a worker has room now and had none before, and, while calls may be waiting,
    those of every worker that ends a call: the next call may wait behind the one that was let go on before.
    """

    def __init__(self, clock: Clock, intervals: Intervals | None = None) -> None:
        self.clock = clock
        self.intervals = intervals or Intervals()
        self.on_room: Callable[[Iterable[str], bool], None] = lambda _apps, _one: None
        self.refusals = 0
        """Times that a call was made to wait; counted by the thread that writes, and by no other."""
        self._calm_at = 0
        self._connections: dict[str, Connection] = {}
        self._forwards: dict[str, Forward] = {}

    def all(self) -> list[Connection]:
        """Return the connections, the oldest first."""
        return list(self._connections.values())

    def is_connected(self, connection_id: str) -> bool:
        """Say whether there is such a connection."""
        return connection_id in self._connections

    def add(self, connection: Connection) -> None:
        """Know of a connection; it gets no calls yet."""
        self._connections[connection.id] = connection

    def make_ready(self, connection: Connection) -> None:
        """Let a connection have calls."""
        if connection.status is ConnectionStatus.CONNECTED:
            connection.status = ConnectionStatus.READY
            self.on_room(connection.app_names, False)

    def drain(self, connection: Connection) -> None:
        """Give a connection no more calls."""
        connection.status = ConnectionStatus.DRAINING

    def remove(self, connection: Connection, *, is_clean: bool) -> None:
        """Forget a connection.

        A worker that left in order will not finish its calls: others get them. One that was lost may be back over
        another connection before their leases end; only what it never acknowledged goes to others at once.
        """
        connection.status = ConnectionStatus.DISCONNECTED
        self._connections.pop(connection.id, None)
        for request_id in list(connection.calls):
            forward = self._forwards.get(request_id)
            if forward is not None and (is_clean or not forward.is_acked):
                forward.give_back("the worker went away")

    def hear(self, connection: Connection) -> None:
        """Note that a worker is alive."""
        was_silent = self._is_silent(connection)
        connection.heard_at, connection.last_heartbeat_at = tick(), self.clock.now()
        if was_silent and connection.status is ConnectionStatus.READY:
            self.on_room(connection.app_names, False)

    def choose(self, slug: str, excluded: Iterable[str] = ()) -> Connection | None:
        """Return the least busy connection that takes calls of a function, the newest among equals; or None."""
        able = [one for one in self.all()[::-1] if self._takes(one, slug) and one.id not in excluded]
        return min(able, key=lambda one: one.load, default=None)

    def has_room(self, slug: str) -> bool:
        """Say whether a worker takes a call. Asked in the transaction that lets the call wait where none does."""
        if self.choose(slug) is not None:
            return True
        self.refusals += 1
        return False

    def _takes(self, connection: Connection, slug: str) -> bool:
        return (
            connection.status is ConnectionStatus.READY
            and slug in connection.apps
            and len(connection.calls) < connection.max_concurrency
            and not self._is_silent(connection)
        )

    def _is_silent(self, connection: Connection) -> bool:
        return tick() - connection.heard_at > 2 * self.intervals.heartbeat

    def note_calm(self, refusals: int) -> None:
        """Note that no call waited any more after so many refusals."""
        self._calm_at = refusals

    def open(self, request_id: str, connection: Connection) -> Forward:
        """Note that a connection is offered a call."""
        forward = self._forwards[request_id] = Forward(request_id, connection, self.intervals.lease)
        connection.calls.add(request_id)
        return forward

    def close(self, forward: Forward) -> None:
        """Forget a call that has ended."""
        self._forwards.pop(forward.request_id, None)
        if forward.reply.done():
            forward.reply.exception()  # it may have been given back while it was being sent: nobody else looks
        self._leave(forward, forward.connection)

    def _leave(self, forward: Forward, connection: Connection) -> None:
        was_full = len(connection.calls) >= connection.max_concurrency
        connection.calls.discard(forward.request_id)
        if (was_full or self.refusals != self._calm_at) and connection.status is ConnectionStatus.READY:
            self.on_room(connection.app_names, True)

    def ack(self, connection: Connection, request_id: str) -> None:
        """Note that a worker has a call."""
        forward = self._forwards.get(request_id)
        if forward is not None and forward.connection is connection:
            forward.is_acked = True

    def extend(self, connection: Connection, asked: ExtendLease) -> ExtendLeaseAck:
        """Extend the lease of a call; the answer has no new one where the call is not the worker's any more."""
        forward = self._forwards.get(asked.request_id)
        lease_id = None
        if forward is not None and forward.lease_id == asked.lease_id and not forward.reply.done():
            forward.extend(self.intervals.lease)
            forward.is_acked = True
            if forward.connection is not connection:  # the worker is back
                self._leave(forward, forward.connection)
                forward.connection = connection
                connection.calls.add(asked.request_id)
            lease_id = forward.lease_id
        return ExtendLeaseAck(
            asked.request_id, asked.account_id, asked.env_id, asked.app_id, asked.function_slug, lease_id
        )

    def answer(self, reply: WorkerReply) -> bool:
        """Take the answer to a call, over whatever connection. Return False where nobody waits for it any more."""
        forward = self._forwards.get(reply.request_id)
        if forward is None or forward.reply.done():
            _log.info("an answer to the call %s came too late; it is not used", reply.request_id[:40])
            return False
        forward.reply.set_result(reply)
        return True


def tick() -> float:
    """Return the time of sockets, which is real where the executor's clock is virtual."""
    return time.monotonic()
