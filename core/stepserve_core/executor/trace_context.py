"""The W3C trace context of calls: everything that a run does belongs to one trace (executor.md 4.3). No I/O."""

from __future__ import annotations

import functools
import hashlib

from stepserve_core.executor import ids

_SAMPLED = "01"


@functools.lru_cache(maxsize=4096)
def trace_id_of(run_id: str) -> str:
    """Return the trace of a run: the same 16 bytes, in hexadecimal."""
    return ids.bytes_of(run_id).hex()


def span_id_of(item_id: str, generation: int) -> str:
    """Return the span of a call: 8 bytes that belong to one claim of one queue item."""
    return hashlib.sha1(f"{item_id}:{generation}".encode(), usedforsecurity=False).hexdigest()[:16]


def write_traceparent(run_id: str, item_id: str, generation: int) -> str:
    """Return the header `traceparent` of a call, with which tracing in the app goes on."""
    return f"00-{trace_id_of(run_id)}-{span_id_of(item_id, generation)}-{_SAMPLED}"
