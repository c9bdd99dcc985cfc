"""The logger of functions: silent while memos are replayed, and it says which run speaks (protocol.md 9.4)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from stepserve_core._engine import executing_step

if TYPE_CHECKING:
    from stepserve_core._protocol import CallContext

    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter

_SILENCED = frozenset({"critical", "debug", "error", "exception", "fatal", "info", "log", "warn", "warning"})
_DERIVING = frozenset({"bind", "getChild", "new", "try_unbind", "unbind"})
"""Methods, of logging, structlog and loguru, that return another logger."""
_ADAPTER_NAMES = {"fatal": "critical", "warn": "warning"}

Fields = Mapping[str, object]


class ReplayLogger:
    """Forwards to a logger, but drops what is logged before the function does something new.

    Without this, a line at the top of a function would be logged again at each of its calls.

    Every line carries the fields of the run: `app_id`, `function_id`, `run_id`, `attempt` and, inside a step,
    `step_id`. They are attributes of the record with `logging` (which formatters for JSON write out), and bound values
    with structlog and loguru.

    Args:
        logger: a `logging.Logger` or adapter, or anything with the same methods.
        describe: returns the fields.
    """

    def __init__(self, logger: Any, describe: Callable[[], Fields] = dict) -> None:
        self._logger = logger
        self._describe = describe
        self.is_silent = True

    def __getattr__(self, name: str) -> Any:
        if name in _SILENCED:
            return _drop if self.is_silent else _log_method(self._logger, name, self._describe())
        value = getattr(self._logger, name)
        if name in _DERIVING:
            return lambda *args, **kwargs: _DerivedLogger(self, value(*args, **kwargs))
        return value


class _DerivedLogger(ReplayLogger):
    """What `bind` or `getChild` returned: silent as long as the logger that it came from."""

    def __init__(self, origin: ReplayLogger, logger: Any) -> None:
        self._origin = origin
        super().__init__(logger, origin._describe)

    @property
    def is_silent(self) -> bool:
        return self._origin.is_silent

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        """Ignore what the base class sets: the origin decides."""


class _FieldsAdapter(Adapter):
    """Adds the fields to each record; what the caller gives as `extra` comes on top."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def _log_method(logger: Any, name: str, fields: Fields) -> Any:
    """Return a method that logs with `fields`. The frame of the caller stays the one that `logging` finds."""
    if not fields:
        return getattr(logger, name)
    if isinstance(logger, logging.Logger):
        return getattr(_FieldsAdapter(logger, fields), _ADAPTER_NAMES.get(name, name))
    if isinstance(logger, logging.LoggerAdapter):
        adapter = copy.copy(logger)  # a copy keeps what a subclass does in `process`
        adapter.extra = {**(logger.extra or {}), **fields}
        return getattr(adapter, _ADAPTER_NAMES.get(name, name))
    if hasattr(type(logger), "bind"):
        return getattr(logger.bind(**fields), name)
    return getattr(logger, name)


def _drop(*args: object, **kwargs: object) -> None:
    del args, kwargs


def fields_of_call(app_id: str, function_id: str, ctx: CallContext) -> dict[str, object]:
    """Return the fields that every line of the function's logger carries."""
    fields: dict[str, object] = {
        "app_id": app_id,
        "function_id": function_id,
        "run_id": ctx.run_id,
        "attempt": ctx.attempt,
    }
    step = executing_step()
    return fields if step is None else {**fields, "step_id": step.step_id}
