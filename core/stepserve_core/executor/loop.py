"""The loop: claim, call, plan, apply. It wakes on new work and on the next due moment, and at no other time."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import NamedTuple

from stepserve_core.executor import leases
from stepserve_core.executor.apply import apply
from stepserve_core.executor.caller import Decide
from stepserve_core.executor.claims import Claim, Claims, claim
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.decisions import Decision
from stepserve_core.executor.failure_log import log_failures
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.store import Store
from stepserve_core.executor.store.tables import Tables

_log = logging.getLogger(__name__)

_DATABASE_PAUSE = 1.0
"""Seconds before a database that cannot be written is tried again."""

_CLEAN_PAUSE = 1.0
"""Seconds between two removals of expired idempotency keys, which happen on the way when work is claimed anyway."""


class _Ended(NamedTuple):
    """A call that has ended, and what follows from its answer."""

    task: asyncio.Task[None]
    item: Claim
    decisions: list[Decision]
    started_at: float


class Loop:
    """Carries out what is queued. `registry` is asked anew each time, because syncs replace it; `decide` makes calls.

    Slots bound the calls under way. Whoever writes reserves the free ones for the claim that ends its transaction,
    so that a step's answer and the claim of the next call are one commit.
    """

    def __init__(
        self,
        store: Store,
        decide: Decide,
        clock: Clock,
        registry: Callable[[], Registry],
        settings: LoopSettings,
    ) -> None:
        self._store = store
        self._decide = decide
        self._clock = clock
        self._registry = registry
        self._settings = settings
        self._free = settings.concurrency
        self._calls: dict[asyncio.Task[None], Claim] = {}
        self._ended: list[_Ended] = []
        """Calls of this turn of the event loop; they are under way until what follows from them is committed."""
        self._next_due: float | None = None
        self._renew_at = 0.0
        self._lost_at: float | None = None
        """When an item was last left behind leased: until its lease has ended, leases are looked at without calls."""
        self._clean_at = 0.0
        self._wake = asyncio.Event()
        self._missed = False
        self._idle = asyncio.Event()
        self._stopping = False
        self.event_loop: asyncio.AbstractEventLoop | None = None
        """The event loop that `run` works on, while it does."""
        self._thread = 0

    @property
    def next_due(self) -> float | None:
        """The moment of the next timer; reliable while the loop is idle."""
        return self._next_due

    def wake(self) -> None:
        """Say, from any thread, that there may be new work, or that the clock was moved."""
        if self.event_loop is not None and not self.is_in_this_thread():
            self.event_loop.call_soon_threadsafe(self.wake)
            return
        self._idle.clear()
        self._wake.set()

    def is_in_this_thread(self) -> bool:
        """Say whether whoever asks is in the thread that `run` works in."""
        return self._thread == threading.get_ident()

    @property
    def under_way(self) -> list[Claim]:
        """What is being called."""
        return list(self._calls.values())

    async def idle(self) -> None:
        """Return when nothing is under way and nothing is ready: what is left waits for time or events."""
        await self._idle.wait()

    async def recover(self) -> None:
        """Take over what the process before us left: its leases end, and its slots are free."""
        await self._store.write(leases.recover)

    async def run(self) -> None:
        """Work until `stop` is called."""
        self.event_loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self.wake()
        try:
            await self._run()
        finally:
            self.event_loop, self._thread = None, 0

    async def _run(self) -> None:
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

    def reset(self) -> None:
        """Let `run` be called again after it has ended, on any event loop."""
        self._stopping = False
        self._wake, self._idle = asyncio.Event(), asyncio.Event()

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
        self._calls, self._ended, self._free = {}, [], self._settings.concurrency
        if left:
            await self._store.write(lambda tables: leases.give_back(tables, list(left.values())))

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
        lost = await self._store.write(lambda tables: leases.renew(tables, held, now))
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
        """Make one call. The first that ends in a turn of the event loop commits what all of that turn ask for."""
        task = asyncio.current_task()
        assert task is not None
        started_at = self._clock.now()
        try:
            ended = _Ended(task, item, await self._decide(item), started_at)
        except Exception:
            self._lose(item)
            self._let_go([task], Claims([], self._next_due), 1)
            return
        except BaseException:  # it was cancelled: by `stop`, which gives the item back, or by itself
            self._lost_at = self._lost_at if self._stopping else self._clock.now()
            self._let_go([task], Claims([], self._next_due), 1)
            raise
        self._ended.append(ended)
        if self._ended[0] is ended:
            await asyncio.sleep(0)
            together, self._ended = self._ended, []
            await self._commit(together)

    async def _commit(self, ended: list[_Ended]) -> None:
        """Carry out what follows from calls; the commit that does so claims the next items."""
        reserved, self._free = len(ended) + self._free, 0
        try:
            claims = await self._apply(ended, reserved)
        except Exception:
            self._free += reserved - len(ended)
            if len(ended) > 1:
                for one in ended:  # only those that cannot be carried out shall be lost
                    await self._commit([one])
                return
            self._lose(ended[0].item)
            claims, reserved = Claims([], self._next_due), 1
        self._let_go([one.task for one in ended], claims, reserved)

    def _lose(self, item: Claim) -> None:
        self._lost_at = self._clock.now()
        _log.exception("item %s failed inside the executor; it is called again when its lease ends", item.work.id)

    def _let_go(self, tasks: list[asyncio.Task[None]], claims: Claims, reserved: int) -> None:
        for task in tasks:
            del self._calls[task]
        self._take(claims, reserved)
        if not self._calls:
            self._wake.set()

    async def _apply(self, ended: list[_Ended], reserved: int) -> Claims:
        """Commit what was decided. While the database cannot be written the answers are kept, not thrown away."""
        while True:
            registry, now = self._registry(), self._clock.now()
            limit = 0 if self._stopping else reserved

            def unit(
                tables: Tables, registry: Registry = registry, now: float = now, limit: int = limit
            ) -> tuple[list[_Ended], Claims]:
                # With slots for all of them, and nothing else that waits for one, each run may go on where it is.
                may_keep = limit >= len(ended) and not tables.queue.has_ready()
                scope = Scope(tables, registry, now, now + LEASE if may_keep else None)
                valid = [one for one in ended if apply(scope, one.item.work, one.decisions, one.started_at)]
                return valid, claim(scope, limit, now + LEASE)

            try:
                valid, claims = await self._store.write(unit)
            except sqlite3.Error:
                if self._stopping:
                    raise
                _log.exception("the database cannot be written; trying again in %g s", _DATABASE_PAUSE)
                await asyncio.sleep(_DATABASE_PAUSE)
            else:
                for one in valid:
                    log_failures(one.item, one.decisions, now)
                return claims
