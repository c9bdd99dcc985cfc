"""The loop: claim, call, plan, apply. It wakes on new work and on the next due moment, and at no other time."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable

import msgspec

from stepserve_core.executor import gateway, ids
from stepserve_core.executor.answers import Answer, read_answer
from stepserve_core.executor.apply import apply
from stepserve_core.executor.calls import build_call
from stepserve_core.executor.claims import Claim, Claims, claim
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.decisions import Decision
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.gateway_policy import GatewayRefusedError
from stepserve_core.executor.gateway_transport import GatewayReply, GatewayTransport
from stepserve_core.executor.plan import RetryPolicy, plan, plan_overflow
from stepserve_core.executor.realtime.broker import Broker
from stepserve_core.executor.realtime.messages import as_json, make_message
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.transport import DEFAULT_TIMEOUT, Transport, TransportError

_log = logging.getLogger(__name__)

LEASE = 30.0
"""Seconds that an item belongs to its claimer; renewed at half of it while the call goes on (executor.md 4.6)."""

_DATABASE_PAUSE = 1.0
"""Seconds before a database that cannot be written is tried again."""

_CLEAN_PAUSE = 1.0
"""Seconds between two removals of expired idempotency keys, which happen on the way when work is claimed anyway."""


class LoopSettings(msgspec.Struct, frozen=True):
    """How the loop works.

    `concurrency` bounds the calls under way, `backlog_limit` the runs of a function that wait to start: further ones
    are skipped. `retry_interval` replaces the backoff table. Times are seconds.
    """

    concurrency: int = 100
    call_timeout: float = DEFAULT_TIMEOUT
    retry_interval: float | None = None
    signing_key: str | None = None
    backlog_limit: int | None = None


class Loop:
    """Carries out what is queued. `registry` is asked anew each time, because syncs replace it.

    Slots bound the calls under way. Whoever writes reserves the free ones for the claim that ends its transaction,
    so that a step's answer and the claim of the next call are one commit.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        clock: Clock,
        registry: Callable[[], Registry],
        settings: LoopSettings,
        gateway_transport: GatewayTransport,
        broker: Broker,
    ) -> None:
        self._store = store
        self._transport = transport
        self._gateway_transport = gateway_transport
        self._broker = broker
        self._clock = clock
        self._registry = registry
        self._settings = settings
        self._free = settings.concurrency
        self._calls: dict[asyncio.Task[None], Claim] = {}
        self._next_due: float | None = None
        self._renew_at = 0.0
        self._lost_at: float | None = None
        """When an item was last left behind leased: until its lease has ended, leases are looked at without calls."""
        self._clean_at = 0.0
        self._wake = asyncio.Event()
        self._missed = False
        self._idle = asyncio.Event()
        self._stopping = False

    @property
    def next_due(self) -> float | None:
        """The moment of the next timer; reliable while the loop is idle."""
        return self._next_due

    def wake(self) -> None:
        """Say that there may be new work, or that the clock was moved."""
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Return when nothing is under way and nothing is ready: what is left waits for time or events."""
        await self._idle.wait()

    async def recover(self) -> None:
        """Take over what the process before us left: its leases end, and its slots are free."""
        await self._store.write(_recover)

    async def run(self) -> None:
        """Work until `stop` is called."""
        self.wake()
        while True:
            await self._clock.wait(self._wake, self._next_moment())
            self._wake.clear()
            if self._stopping:
                return
            try:
                await self._renew_leases()
                await self._claim()
            except Exception:
                # Above all a database that cannot be written. The loop must not die of it, nor spin.
                _log.exception("claiming work failed; trying again in %g s", _DATABASE_PAUSE)
                self._next_due = self._clock.now() + _DATABASE_PAUSE

    async def stop(self, grace: float) -> None:
        """Stop claiming, let calls finish for `grace` seconds, and give back what is still under way."""
        self._stopping = True
        self._wake.set()
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=grace)
        left = dict(self._calls)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if left:
            await self._store.write(lambda tables: _give_back(tables, list(left.values())))

    def _next_moment(self) -> float | None:
        moments = [self._renew_at] if self._calls or self._lost_at is not None else []
        if self._next_due is not None:
            moments.append(self._next_due)
        return min(moments, default=None)

    async def _renew_leases(self) -> None:
        """Extend the leases of long calls, then free those that nobody holds any more."""
        now = self._clock.now()
        if not (self._calls or self._lost_at is not None) or now < self._renew_at:
            return
        self._renew_at = now + LEASE / 2
        held = [item.work.id for item in self._calls.values()]
        lost = await self._store.write(lambda tables: _renew(tables, held, now))
        if self._lost_at is not None and now >= self._lost_at + LEASE:
            self._lost_at = None
        for item_id in lost:
            _log.error("the lease of %s ended although its call did not; it is called again", item_id)

    async def _claim(self) -> None:
        """Carry out due timers, and claim as many items as there are free slots."""
        # Without a free slot ready items stay where they are, and must be looked for when one is free again.
        self._missed = self._free == 0
        reserved, self._free = self._free, 0
        registry, now = self._registry(), self._clock.now()
        clean = now >= self._clean_at

        def unit(tables: Tables) -> Claims:
            if clean:
                tables.runs.forget_expired_keys(now)
                tables.rates.forget_past(now)
            return claim(Scope(tables, registry, now), reserved, now + LEASE)

        try:
            claims = await self._store.write(unit)
        except BaseException:
            self._free += reserved
            raise
        self._clean_at = now + _CLEAN_PAUSE if clean else self._clean_at
        self._take(claims, reserved)
        if not self._calls and not self._wake.is_set() and not self._is_due():
            self._idle.set()

    def _is_due(self) -> bool:
        return self._next_due is not None and self._next_due <= self._clock.now()

    def _take(self, claims: Claims, reserved: int) -> None:
        """Start the calls of a claim; reserved slots that it did not use are free again."""
        self._free += reserved - len(claims.items)
        if claims.items:
            self._idle.clear()
            if not self._calls and self._lost_at is None:
                self._renew_at = self._clock.now() + LEASE / 2
        for item in claims.items:
            self._calls[asyncio.get_running_loop().create_task(self._work(item))] = item
        sooner = claims.next_due is not None and (self._next_due is None or claims.next_due < self._next_due)
        self._next_due = claims.next_due
        if sooner or (self._missed and self._free > 0):
            self._missed = False
            self._wake.set()

    async def _work(self, item: Claim) -> None:
        """Make one call and carry out what follows; the commit that does so claims the next items."""
        task, reserved, claims = asyncio.current_task(), 1, None
        try:
            started_at = self._clock.now()
            decisions = await self._decide(item)
            reserved, self._free = reserved + self._free, 0
            claims = await self._apply(item, decisions, started_at, reserved)
        except Exception:
            self._lost_at = self._clock.now()
            _log.exception("item %s failed inside the executor; it is called again when its lease ends", item.work.id)
        finally:
            if task is not None:
                del self._calls[task]
            self._take(claims or Claims([], self._next_due), reserved)
            if not self._calls:
                self._wake.set()

    async def _decide(self, item: Claim) -> list[Decision]:
        overflow = plan_overflow(item.run)
        if overflow is not None:
            return [overflow]
        policy = RetryPolicy(self._settings.retry_interval, random.random())  # noqa: S311 - jitter
        if item.work.kind in gateway.KINDS:
            return await self._ask_gateway(item, policy)
        answer = await self._call(item)
        return plan(item.work, item.run, answer, self._clock.now(), policy)

    async def _call(self, item: Claim) -> Answer:
        now = self._clock.now()
        key = self._settings.signing_key
        request_id = ids.new_id(now)
        url = item.function.config.url
        call = build_call(item.work, item.run, item.state, url, request_id=request_id, signing_key=key, now=now)
        try:
            reply = await self._transport.send("POST", call.url, call.headers, call.body, self._settings.call_timeout)
        except TransportError as error:
            return Answer(failure=Failure(error.code, str(error)))
        return read_answer(reply)

    async def _ask_gateway(self, item: Claim, policy: RetryPolicy) -> list[Decision]:
        reply: GatewayReply | gateway.Problem
        try:
            request = gateway.build_request(item.work.kind, item.payload or b"{}")
            reply = await self._gateway_transport.send(request)
            self._publish(item, reply)
        except TransportError as error:
            reply = gateway.Problem(str(error))
        except (GatewayRefusedError, ValueError) as error:
            reply = gateway.Problem(str(error), retriable=False)
        return gateway.plan_gateway(item.work, item.run, reply, self._clock.now(), policy)

    def _publish(self, item: Claim, reply: GatewayReply) -> None:
        """Pass a reply on to subscribers, where its step asks for that."""
        wanted = gateway.read_publication(item.payload or b"{}")
        if wanted is not None:
            now = self._clock.now()
            data = as_json(reply.body)
            message = make_message("data", wanted.channel, wanted.topic, data, now, run_id=item.run.id)
            self._broker.publish(wanted.channel, wanted.topic, message)

    async def _apply(self, item: Claim, decisions: list[Decision], started_at: float, reserved: int) -> Claims:
        """Commit what was decided. While the database cannot be written the answer is kept, not thrown away."""
        while True:
            registry, now = self._registry(), self._clock.now()
            limit = 0 if self._stopping else reserved

            def unit(tables: Tables, registry: Registry = registry, now: float = now, limit: int = limit) -> Claims:
                scope = Scope(tables, registry, now)
                apply(scope, item.work, decisions, started_at)
                return claim(scope, limit, now + LEASE)

            try:
                return await self._store.write(unit)
            except sqlite3.Error:
                if self._stopping:
                    raise
                _log.exception("the database cannot be written; trying again in %g s", _DATABASE_PAUSE)
                await asyncio.sleep(_DATABASE_PAUSE)


def _recover(tables: Tables) -> None:
    tables.queue.expire_leases(None)
    tables.slots.clear()


def _renew(tables: Tables, held: list[str], now: float) -> list[str]:
    tables.queue.renew(held, now + LEASE)
    lost = tables.queue.expire_leases(now)
    for item_id in lost:
        tables.slots.release(item_id)
    return lost


def _give_back(tables: Tables, left: list[Claim]) -> None:
    for item in left:
        tables.queue.release(item.work.id, item.work.generation)
        tables.slots.release(item.work.id)
