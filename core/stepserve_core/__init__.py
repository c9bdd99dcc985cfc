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
from stepserve_core.later import names_later

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
    "Context": "stepserve_core._context",
    "ContextSync": "stepserve_core._context",
    "Deferred": "stepserve_core._defer",
    "FetchResponse": "stepserve_core._fetch",
    "Group": "stepserve_core._group",
    "GroupSync": "stepserve_core._group",
    "ParallelMode": "stepserve_core._opcodes",
    "Signal": "stepserve_core._signals",
    "Step": "stepserve_core._step",
    "StepSync": "stepserve_core._step",
    "Streaming": "stepserve_core._streaming",
    "TransformOutputResult": "stepserve_core._transformed_output",
    "TransformOutputStepInfo": "stepserve_core._transformed_output",
    "fetch_transport": "stepserve_core._fetch",
    "install_as_inngest": "stepserve_core._install",
    "providing": "stepserve_core._dependencies",
}
"""Names that not every program uses, and their modules, imported when somebody does (PEP 562).

Those of the engine are among them: a program that only sends events does without it."""


if not TYPE_CHECKING:
    __getattr__ = names_later(__name__, _LATER)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
