"""The worker: connects, serves calls, connects anew when it has to, and leaves when it is told to.

It has an event loop in a thread of its own, so that user code that blocks delays neither heartbeats nor leases.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from stepserve_core._client import Inngest
from stepserve_core.connect.calls import Calls
from stepserve_core.connect.messages import AuthData, WorkerConnect, WorkerReply
from stepserve_core.connect.session import DEFAULT_INTERVAL, Session
from stepserve_core.connect.start import ask_for_gateway, flush, rewrite
from stepserve_core.connect.state import ConnectionState, StateBox
from stepserve_core.connect.timing import Timing
from stepserve_core.errors import ConnectError, ConnectRefusedError
from stepserve_core.handler import Handler

_FLUSHES = 5


class Worker:
    """Runs in an event loop of its own: `run` until `close` is called there.

    Args:
        client: the app whose settings tell how to reach the server.
        hello: what the worker says of itself; the connection is filled in.
        handlers: who serves which app.
        user_loop: where functions run.
        rewriter: changes the URL of the gateway.
    """

    def __init__(
        self,
        client: Inngest,
        hello: WorkerConnect,
        handlers: Mapping[str, Handler],
        user_loop: asyncio.AbstractEventLoop,
        state: StateBox,
        timing: Timing,
        rewriter: Callable[[str], str] | None,
    ) -> None:
        self._client = client
        self._hello = hello
        self._state = state
        self._timing = timing
        self._rewriter = rewriter
        self._calls = Calls(handlers, user_loop, hello.max_worker_concurrency)
        self._closing = asyncio.Event()
        self._failures = 0
        self._was_connected = False
        self.session: Session | None = None

    def close(self) -> None:
        """Begin to leave: no more calls are taken, and `run` ends when those under way are answered."""
        self._state.set(ConnectionState.CLOSING)
        self._closing.set()

    async def run(self) -> None:
        """Stay connected until `close` is called.

        Raises:
            ConnectError: no connection could be made, or the server refuses us.
        """
        sending = asyncio.get_running_loop().create_task(self._send_answers())
        flushing = asyncio.get_running_loop().create_task(self._flush_old())
        try:
            while not self._closing.is_set():
                former, session = self.session, await self._connect()
                self.session = session or self.session
                if session is not None and former is not None:  # the old one may take its time
                    await asyncio.gather(self._stay(session), former.close())
                elif session is not None:
                    await self._stay(session)
            await self._leave()
        finally:
            sending.cancel()
            flushing.cancel()
            await self._calls.cancel()
            if self.session is not None:
                await self.session.close(is_last=True)
                self.session = None
            await asyncio.gather(sending, flushing, return_exceptions=True)

    async def _connect(self) -> Session | None:
        """Connect, however often that takes; None where we are to leave before it worked."""
        while not self._closing.is_set():
            if self._failures:
                backoff = self._timing.backoff
                delay = backoff[min(self._failures, len(backoff)) - 1] * random.uniform(0.5, 1)  # noqa: S311 - jitter
                if await self._is_closing_within(delay):
                    break
            self._state.set(ConnectionState.CONNECTING)
            try:
                session = await self._open()
            except ConnectRefusedError:
                raise
            except ConnectError as error:
                self._failures += 1
                if not self._was_connected and self._failures >= self._timing.first_attempts:
                    raise
                self._client.logger.warning("%s; trying again", error)
            else:
                self._was_connected = True
                return session
        return None

    async def _open(self) -> Session:
        started = await ask_for_gateway(self._client, self._timing.answer)
        endpoint = rewrite(started.gateway_endpoint, self._rewriter)
        hello = msgspec.structs.replace(
            self._hello,
            connection_id=started.connection_id,
            auth_data=AuthData(started.session_token, started.sync_token),
        )
        return await Session.open(endpoint, hello, self._calls, self._timing)

    async def _stay(self, session: Session) -> None:
        """Serve calls until the connection ends, the gateway wants us to leave it, or we are to leave."""
        self._state.set(ConnectionState.ACTIVE)
        self._client.logger.info("connected to the server as %s", session.connection_id)
        await session.send_replies()
        await _first(session.over.wait(), session.draining.wait(), self._closing.wait())
        if self._closing.is_set():
            return
        self._state.set(ConnectionState.RECONNECTING)
        if session.over.is_set():
            lived = time.monotonic() - session.opened_at
            self._failures = 1 if lived > self._timing.backoff[0] else self._failures + 1
            await session.close()
            self.session = None
        else:
            self._failures = 0  # the new one first, then the old one is closed

    async def _send_answers(self) -> None:
        while True:
            await self._calls.answered.wait()
            self._calls.answered.clear()
            if self.session is not None:
                await self.session.send_replies()

    async def _flush_old(self) -> None:
        """Hand in over HTTP what the gateway did not acknowledge for long."""
        while True:
            await self._calls.outbox.filled()
            interval = DEFAULT_INTERVAL if self.session is None else self.session.extend_interval
            await asyncio.sleep(interval)
            for reply in self._calls.outbox.older_than(time.monotonic() - interval):
                await self._flush(reply)

    async def _flush(self, reply: WorkerReply) -> bool:
        try:
            await flush(self._client, reply, self._timing.answer)
        except ConnectError as error:
            self._client.logger.warning("an answer could not be handed in: %s", error)
            return False
        self._calls.outbox.remove(reply.request_id)
        return True

    async def _leave(self) -> None:
        """Take no more calls, finish those under way, and hand in their answers."""
        if self.session is not None:
            await self.session.pause()
        try:
            await asyncio.wait_for(self._calls.idle(), self._timing.longest_close)
        except asyncio.TimeoutError:
            self._client.logger.error("calls were still under way after %g s; given up", self._timing.longest_close)
        if self.session is not None:
            await self.session.send_replies()
            await _first(self.session.over.wait(), self._calls.outbox.emptied(), asyncio.sleep(self._timing.answer))
        for reply in self._calls.outbox.all():
            for attempt in range(_FLUSHES):
                if await self._flush(reply):
                    break
                await asyncio.sleep(0.1 * 2**attempt)

    async def _is_closing_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of several waits is over; the others are ended."""
    tasks = [asyncio.get_running_loop().create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
