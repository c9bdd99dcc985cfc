"""How long workers and the gateway wait for each other."""

from __future__ import annotations

import msgspec


class Intervals(msgspec.Struct, frozen=True):
    """Seconds.

    Upstream leases for two minutes and has leases extended each 30 s (executor.md 9.4). Ours are shorter, because a
    call whose worker was killed begins anew when its lease has ended.

    Args:
        heartbeat: between two heartbeats of a worker; after two without one it gets no calls, after five it is cut off.
        extend: between two extensions of a lease, as workers are told; a whole number for the official Python SDK.
        lease: how long a call belongs to its worker.
        ack: how long a worker may take to say that it has a call, before another one is asked; not above `lease`.
        hello: how long a worker may take to say who it is.
    """

    heartbeat: float = 10.0
    extend: float = 10.0
    lease: float = 30.0
    ack: float = 10.0
    hello: float = 5.0
