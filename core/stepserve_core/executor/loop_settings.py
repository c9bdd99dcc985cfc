"""How the loop works: bounds and times."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.transport import DEFAULT_TIMEOUT


class LoopSettings(msgspec.Struct, frozen=True):
    """How the loop works.

    `concurrency` bounds the calls under way, `backlog_limit` the runs of a function that wait to start: further ones
    are skipped. `retry_interval` replaces the backoff table, `jitter` says whether moments of the table are spread at
    random. Times are seconds.
    """

    concurrency: int = 100
    call_timeout: float = DEFAULT_TIMEOUT
    retry_interval: float | None = None
    signing_key: str | None = None
    backlog_limit: int | None = None
    jitter: bool = True
