"""Leases: an item belongs to whoever claimed it, until it is done or the lease ends. Runs inside a transaction."""

from __future__ import annotations

from stepserve_core.executor.claims import Claim
from stepserve_core.executor.store.tables import Tables

LEASE = 30.0
"""Seconds that an item belongs to its claimer; renewed at half of it while the call goes on (executor.md 4.6)."""


def recover(tables: Tables) -> None:
    """Take over what the process before us left: its leases end, and its slots are free."""
    tables.queue.expire_leases(None)
    tables.slots.clear()


def renew(tables: Tables, held: list[str], now: float) -> list[str]:
    """Extend the leases of `held`, then free those that nobody holds any more; return the items of these."""
    tables.queue.renew(held, now + LEASE)
    lost = tables.queue.expire_leases(now)
    for item_id in lost:
        tables.slots.release(item_id)
    return lost


def give_back(tables: Tables, left: list[Claim]) -> None:
    """Let others claim items whose calls were cut off."""
    for item in left:
        tables.queue.release(item.work.id, item.work.generation)
        tables.slots.release(item.work.id)
