"""The logger that functions are given: silent while memos are replayed (protocol.md 9.4)."""

from __future__ import annotations

from typing import Any

_SILENCED = frozenset({"critical", "debug", "error", "exception", "fatal", "info", "log", "warn", "warning"})


class ReplayLogger:
    """Forwards to a logger, but drops what is logged before the function does something new.

    Without this, a line at the top of a function would be logged again at each of its calls.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.is_silent = True

    def __getattr__(self, name: str) -> Any:
        if self.is_silent and name in _SILENCED:
            return _drop
        return getattr(self._logger, name)


def _drop(*args: object, **kwargs: object) -> None:
    del args, kwargs
