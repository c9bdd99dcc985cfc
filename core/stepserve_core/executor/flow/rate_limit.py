"""Rate limits: events above the rate start nothing (executor.md 7.4)."""

from __future__ import annotations

from stepserve_core.executor.events import Event
from stepserve_core.executor.flow.gcra import admit
from stepserve_core.executor.flow.keys import evaluate_key, name_key
from stepserve_core.executor.flow.options import Rate
from stepserve_core.executor.flow.rate_state import read_tat
from stepserve_core.executor.scope import Scope


def allow(tat: float | None, now: float, rate: Rate) -> float | None:
    """Return the new state of the key where the event passes, else None.

    A tenth of the limit may come at once, the rest is spread over the period: with 5 per minute one passes, and then
    one each 12 seconds.
    """
    return admit(tat, now, rate.emission, _burst(rate))


def _burst(rate: Rate) -> int:
    return rate.limit // 10


def passes(scope: Scope, function_id: str, rate: Rate, event: Event) -> bool:
    """Say whether an event is within the rate, and count it. One whose key is false or missing is not limited.

    Raises:
        ExpressionFailedError: the key cannot be evaluated; then nothing may start.
    """
    value = b"" if rate.key is None else evaluate_key(rate.key, event)
    if value is None:
        return True
    key = name_key(f"rate:{function_id}", rate.key, value)
    tat = allow(read_tat(scope, key, rate.emission, _burst(rate)), scope.now, rate)
    if tat is None:
        return False
    scope.tables.rates.put(key, tat)
    return True
