"""How long a worker waits for what. Tests replace it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import msgspec

from stepserve_core import _durations


class Timing(msgspec.Struct, frozen=True):
    """Seconds.

    Args:
        backoff: before the second, third, … attempt to connect; the last one repeats. Half to all of it is waited.
        first_attempts: attempts to connect for the first time before `start()` gives up.
        answer: how long the server may take for an answer while connecting.
        heartbeat: between two heartbeats; None for what the gateway says.
        extend: between two extensions of a lease; None for what the gateway says.
        longest_close: how long calls under way may take when the worker is closed.
    """

    backoff: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
    first_attempts: int = 5
    answer: float = 5.0
    heartbeat: float | None = None
    extend: float | None = None
    longest_close: float = 7200.0


class _Current:
    timing = Timing()


def current_timing() -> Timing:
    """Return what new connections go by."""
    return _Current.timing


@contextlib.contextmanager
def replaced_timing(timing: Timing) -> Generator[None, None, None]:
    """Let connections made inside of the block go by `timing`."""
    before, _Current.timing = _Current.timing, timing
    try:
        yield
    finally:
        _Current.timing = before


def read_interval(text: str, default: float) -> float:
    """Return the seconds of a gateway's interval such as "10s" or "1m0s"; `default` for one that cannot be read."""
    try:
        return _durations.parse(text) / 1000
    except ValueError:
        return default
