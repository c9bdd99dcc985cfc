"""Reading the state of a rate, and setting it right where the clock was put back."""

from __future__ import annotations

from stepserve_core.executor.flow.gcra import bound
from stepserve_core.executor.scope import Scope


def read_tat(scope: Scope, key: str, emission: float, burst: int) -> float | None:
    """Return the theoretical arrival time of a key; None for one that was never seen."""
    tat = scope.tables.rates.get(key)
    if tat is None:
        return None
    bounded = bound(tat, scope.now, emission, burst)
    if bounded < tat:
        scope.tables.rates.put(key, bounded)
    return bounded
