"""The generic cell rate algorithm, which rate limits and throttles share (executor.md 7.3 and 7.4). No I/O.

Its state is one moment per key: the theoretical arrival time (tat), which each admission moves on by the emission
interval. `burst` is by how many intervals the tat may run ahead of now.
"""

from __future__ import annotations

import math

_TOLERANCE = 1e-6
"""Seconds. Sums of intervals differ by roundings from the moments that timers are set to; a float of today's Unix
time resolves 2.4e-7."""


def admit(tat: float | None, now: float, emission: float, burst: int) -> float | None:
    """Return the new tat where one more is admitted at `now`, else None. A key never seen has no tat."""
    arrival = now if tat is None else max(now, tat)
    if arrival - now > emission * burst + _TOLERANCE:
        return None
    return arrival + emission


def next_moment(tat: float, emission: float, burst: int) -> float:
    """Return when one more is admitted."""
    return tat - emission * burst


def count_free(tat: float | None, now: float, emission: float, burst: int) -> int:
    """Return how many would be admitted at `now`."""
    ahead = 0.0 if tat is None else max(tat - now, 0.0)
    return max(math.floor((emission * burst - ahead + _TOLERANCE) / emission) + 1, 0)


def bound(tat: float, now: float, emission: float, burst: int) -> float:
    """Return the tat, no further ahead of now than admissions can bring it.

    It can be further ahead where the clock was put back, or the rate up, since it was written; it must then be
    written again, or it would stay as far ahead as that.
    """
    return min(tat, now + emission * (burst + 1))
