"""The configuration of a function, as it is registered and stored (executor.md 1.9)."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core.executor import limits

ENDPOINT = "endpoint"
"""The type of the runtime of durable endpoints; other functions have `http`, or what they register."""


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """What starts a function: an event, perhaps under a condition, or a schedule."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: str | None = None


class Runtime(msgspec.Struct, frozen=True):
    """Where the function is called."""

    url: str
    type: str = "http"


class Retries(msgspec.Struct, frozen=True, omit_defaults=True):
    """Retries after the first attempt; None means the default."""

    attempts: int | None = None


class StepConfig(msgspec.Struct, frozen=True):
    """The one entry point of a function."""

    runtime: Runtime
    id: str = "step"
    name: str = "step"
    retries: Retries | None = None


class ConcurrencyLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many calls may be under way at once (executor.md 7.2)."""

    limit: int
    key: str | None = None
    scope: str | None = None


class Cancel(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that cancels a run."""

    event: str
    if_: str | None = msgspec.field(default=None, name="if")
    timeout: str | None = None


class Batch(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Several events in one run."""

    max_size: int
    timeout: str
    key: str | None = None
    if_: str | None = msgspec.field(default=None, name="if")


class Debounce(msgspec.Struct, frozen=True, omit_defaults=True):
    """Start after a quiet period."""

    period: str
    key: str | None = None
    timeout: str | None = None


class RateLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Drop events above a rate."""

    limit: int
    period: str
    key: str | None = None


class Throttle(msgspec.Struct, frozen=True, omit_defaults=True):
    """Delay starts above a rate."""

    limit: int
    period: str
    burst: int = 1
    key: str | None = None


class Priority(msgspec.Struct, frozen=True):
    """Which runs go first."""

    run: str


class Singleton(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run at a time."""

    mode: str
    key: str | None = None


class Timeouts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a run may wait to start, and to finish."""

    start: str | None = None
    finish: str | None = None


class FunctionConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A function as it is stored. `concurrency` limits calls, `run_concurrency` whole runs."""

    id: str
    name: str
    steps: dict[str, StepConfig]
    triggers: list[Trigger] = []
    concurrency: list[ConcurrencyLimit] = []
    run_concurrency: list[ConcurrencyLimit] = []
    cancel: list[Cancel] = []
    batch_events: Batch | None = None
    debounce: Debounce | None = None
    idempotency: str | None = None
    priority: Priority | None = None
    rate_limit: RateLimit | None = None
    singleton: Singleton | None = None
    throttle: Throttle | None = None
    timeouts: Timeouts | None = None
    retries: int | None = None
    checkpoint: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        """Where the function is called, with `fnId` and `stepId` in the query."""
        return next(iter(self.steps.values())).runtime.url

    @property
    def is_endpoint(self) -> bool:
        """Say whether this is a durable endpoint, which is called with the request that it was first called with."""
        return next(iter(self.steps.values())).runtime.type == ENDPOINT

    @property
    def max_attempts(self) -> int:
        """Attempts in total: the configured number is one of retries (executor.md 1.9)."""
        configured = next(iter(self.steps.values())).retries
        retries = self.retries if configured is None or configured.attempts is None else configured.attempts
        retries = limits.DEFAULT_RETRIES if retries is None else retries
        return min(max(retries, 0), limits.MOST_RETRIES) + 1
