"""The options of a function as GraphQL shows them (executor.md 13.3). No I/O."""

from __future__ import annotations

from typing import Any

from stepserve_core.executor import limits
from stepserve_core.executor.function_config import FunctionConfig

_SCOPES = {"account": "ACCOUNT", "env": "ENVIRONMENT", "fn": "FUNCTION", None: "FUNCTION"}


def configuration_of(config: FunctionConfig) -> dict[str, Any]:
    """Return the options of a function."""
    return {
        "cancellations": [{"event": one.event, "timeout": one.timeout, "condition": one.if_} for one in config.cancel],
        "retries": {"value": config.max_attempts - 1, "isDefault": config.max_attempts - 1 == limits.DEFAULT_RETRIES},
        "priority": None if config.priority is None else config.priority.run,
        "eventsBatch": None
        if config.batch_events is None
        else {
            "maxSize": config.batch_events.max_size,
            "timeout": config.batch_events.timeout,
            "key": config.batch_events.key,
        },
        "concurrency": [
            {"scope": _SCOPES[one.scope], "limit": {"value": one.limit, "isPlanLimit": False}, "key": one.key}
            for one in (*config.run_concurrency, *config.concurrency)
        ],
        "rateLimit": config.rate_limit,
        "debounce": config.debounce,
        "throttle": config.throttle,
        "singleton": None
        if config.singleton is None
        else {"mode": config.singleton.mode.upper(), "key": config.singleton.key},
    }


def limit_of(config: FunctionConfig) -> int:
    """Return how many calls of a function may be under way at once, whatever their keys; 0 where nothing says so."""
    return next((one.limit for one in config.concurrency if one.key is None), 0)
