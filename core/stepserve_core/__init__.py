"""The core of stepserve: protocol, engine, client. Knows no web framework.

Users import `stepserve`, which re-exports the names below.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stepserve_core import errors
from stepserve_core._checkpointing import Checkpointing
from stepserve_core._client import Inngest
from stepserve_core._config import (
    Batch,
    Cancel,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    TriggerCron,
    TriggerDeferred,
    TriggerEvent,
)
from stepserve_core._event import Event
from stepserve_core._event_type import EventType
from stepserve_core._function import Function
from stepserve_core._middleware import CallInfo, Middleware, MiddlewareSync, SendEventsResult, StepMemos
from stepserve_core._serialize import PydanticSerializer, Serializer
from stepserve_core._version import VERSION as __version__  # noqa: N811 - the name that packages give their version
from stepserve_core.errors import NonRetriableError, RetryAfterError, SendEventsError, StepError

if TYPE_CHECKING:
    from stepserve_core._context import Context, ContextSync
    from stepserve_core._defer import Deferred
    from stepserve_core._dependencies import providing
    from stepserve_core._fetch import FetchResponse, fetch_transport
    from stepserve_core._group import Group, GroupSync
    from stepserve_core._install import install_as_inngest
    from stepserve_core._opcodes import ParallelMode
    from stepserve_core._signals import Signal
    from stepserve_core._step import Step, StepSync
    from stepserve_core._streaming import Streaming
    from stepserve_core._transformed_output import TransformOutputResult, TransformOutputStepInfo

JSON = bool | int | float | str | Mapping[str, object] | Sequence[object] | None
"""What JSON can carry."""

__all__ = [
    "JSON",
    "Batch",
    "CallInfo",
    "Cancel",
    "Checkpointing",
    "Concurrency",
    "Context",
    "ContextSync",
    "Debounce",
    "Deferred",
    "Event",
    "EventType",
    "FetchResponse",
    "Function",
    "Group",
    "GroupSync",
    "Inngest",
    "Middleware",
    "MiddlewareSync",
    "NonRetriableError",
    "ParallelMode",
    "Priority",
    "PydanticSerializer",
    "RateLimit",
    "RetryAfterError",
    "SendEventsError",
    "SendEventsResult",
    "Serializer",
    "Signal",
    "Singleton",
    "Step",
    "StepError",
    "StepMemos",
    "StepSync",
    "Streaming",
    "Throttle",
    "Timeouts",
    "TransformOutputResult",
    "TransformOutputStepInfo",
    "TriggerCron",
    "TriggerDeferred",
    "TriggerEvent",
    "__version__",
    "errors",
    "fetch_transport",
    "install_as_inngest",
    "providing",
]

_LATER = {
    "Context": "_context",
    "ContextSync": "_context",
    "Deferred": "_defer",
    "FetchResponse": "_fetch",
    "Group": "_group",
    "GroupSync": "_group",
    "ParallelMode": "_opcodes",
    "Signal": "_signals",
    "Step": "_step",
    "StepSync": "_step",
    "Streaming": "_streaming",
    "TransformOutputResult": "_transformed_output",
    "TransformOutputStepInfo": "_transformed_output",
    "fetch_transport": "_fetch",
    "install_as_inngest": "_install",
    "providing": "_dependencies",
}
"""Names that not every program uses, and their modules, imported when somebody does (PEP 562).

Those of the engine are among them: a program that only sends events does without it."""


if not TYPE_CHECKING:  # for type checkers, a module with this function has all names

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - for these names only

        value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
