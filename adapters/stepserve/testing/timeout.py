"""The outcome of a wait for what does not come."""

from __future__ import annotations


class _Timeout:
    def __repr__(self) -> str:
        return "Timeout"


Timeout: object = _Timeout()
"""A stub for a step that waits: what it waits for does not come. None says the same."""
