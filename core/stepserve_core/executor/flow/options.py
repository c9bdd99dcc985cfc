"""What a function wants of flow control, with its durations read (executor.md 1.9 and 7). No I/O."""

from __future__ import annotations

import msgspec

from stepserve_core._durations import parse
from stepserve_core.executor.function_config import ConcurrencyLimit, FunctionConfig, Singleton

_IDEMPOTENCY_PERIOD = 86_400.0


class Rate(msgspec.Struct, frozen=True):
    """So many per period, in seconds; `burst` as the option means it (throttle only)."""

    limit: int
    period: float
    key: str | None = None
    burst: int = 0

    @property
    def emission(self) -> float:
        """Seconds between two, when they are spread evenly."""
        return self.period / self.limit


class DebounceOption(msgspec.Struct, frozen=True):
    """Start after `period` seconds without an event, at the latest `timeout` seconds after the first one."""

    period: float
    timeout: float | None = None
    key: str | None = None


class BatchOption(msgspec.Struct, frozen=True):
    """Start with `max_size` events, or with fewer after `timeout` seconds."""

    max_size: int
    timeout: float
    key: str | None = None
    condition: str | None = None


class Flow(msgspec.Struct, frozen=True):
    """The flow control of one function. Times are seconds; `run_limit` bounds whole runs, not calls."""

    rate_limit: Rate | None = None
    debounce: DebounceOption | None = None
    batch: BatchOption | None = None
    throttle: Rate | None = None
    singleton: Singleton | None = None
    priority: str | None = None
    start_timeout: float | None = None
    finish_timeout: float | None = None
    run_limit: ConcurrencyLimit | None = None


_NOTHING = Flow()


def read_flow(config: FunctionConfig) -> Flow | None:
    """Return the flow control of a function; None where it asks for nothing, so that nothing is looked at."""
    flow = Flow(
        rate_limit=_rate_limit(config),
        debounce=_debounce(config),
        batch=_batch(config),
        throttle=_throttle(config),
        singleton=config.singleton,
        priority=None if config.priority is None else config.priority.run,
        start_timeout=None if config.timeouts is None else _seconds(config.timeouts.start),
        finish_timeout=None if config.timeouts is None else _seconds(config.timeouts.finish),
        run_limit=next((limit for limit in config.run_concurrency if limit.limit > 0), None),
    )
    return None if flow == _NOTHING else flow


def _rate_limit(config: FunctionConfig) -> Rate | None:
    """An idempotency expression is a rate limit of one per day, and replaces the other (executor.md 1.9)."""
    if config.idempotency:
        return Rate(1, _IDEMPOTENCY_PERIOD, config.idempotency)
    limit = config.rate_limit
    return None if limit is None else Rate(limit.limit, parse(limit.period) / 1000, limit.key)


def _debounce(config: FunctionConfig) -> DebounceOption | None:
    option = config.debounce
    return None if option is None else DebounceOption(parse(option.period) / 1000, _seconds(option.timeout), option.key)


def _batch(config: FunctionConfig) -> BatchOption | None:
    option = config.batch_events
    if option is None:
        return None
    return BatchOption(option.max_size, parse(option.timeout) / 1000, option.key, option.if_)


def _throttle(config: FunctionConfig) -> Rate | None:
    """A limit of 0 means 1 (executor.md 1.9)."""
    option = config.throttle
    if option is None:
        return None
    return Rate(max(option.limit, 1), parse(option.period) / 1000, option.key, max(option.burst, 0))


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse(text) / 1000
