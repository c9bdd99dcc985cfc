"""What crosses the wire, under the names of the official `inngest._internal.server_lib`."""

from __future__ import annotations

import enum

from stepserve_core import _protocol
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
    TriggerEvent,
)
from stepserve_core._error_code import ErrorCode
from stepserve_core._event import Event
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._opcodes import Opcode, ParallelMode

__all__ = [
    "PREFERRED_EXECUTION_VERSION",
    "ROOT_STEP_ID",
    "UNSPECIFIED_STEP_ID",
    "Batch",
    "Cancel",
    "Concurrency",
    "Debounce",
    "DeployType",
    "ErrorCode",
    "Event",
    "Framework",
    "HeaderKey",
    "InternalEvents",
    "Opcode",
    "OptKey",
    "ParallelMode",
    "Priority",
    "Probe",
    "QueryParamKey",
    "RateLimit",
    "ServerKind",
    "Singleton",
    "SyncKind",
    "Throttle",
    "Timeouts",
    "TriggerCron",
    "TriggerEvent",
]

PREFERRED_EXECUTION_VERSION = _protocol.REQUEST_VERSION
ROOT_STEP_ID = "step"
UNSPECIFIED_STEP_ID = "step"


class HeaderKey(enum.Enum):
    """The names of headers (protocol.md section 3)."""

    AUTHORIZATION = "authorization"
    CONTENT_TYPE = "content-type"
    ENV = _protocol.ENV
    EVENT_ID_SEED = _protocol.EVENT_ID_SEED
    EXPECTED_SERVER_KIND = _protocol.EXPECTED_SERVER_KIND
    FRAMEWORK = _protocol.FRAMEWORK
    JOB_ID = _protocol.JOB_ID
    NO_RETRY = _protocol.NO_RETRY
    REQUEST_ID = _protocol.REQUEST_ID
    REQUEST_VERSION = _protocol.REQ_VERSION
    RETRY_AFTER = _protocol.RETRY_AFTER
    SDK = _protocol.SDK
    SDK_HANDLED = _protocol.SDK_HANDLED
    SERVER_KIND = _protocol.SERVER_KIND
    SERVER_TIMING = _protocol.SERVER_TIMING
    SIGNATURE = _protocol.SIGNATURE
    SYNC_KIND = _protocol.SYNC_KIND
    USER_AGENT = "user-agent"


class ServerKind(enum.Enum):
    """Which server calls."""

    CLOUD = "cloud"
    DEV_SERVER = "dev"


class Framework(enum.Enum):
    """The names of frameworks on the wire."""

    CONNECT = "connect"
    DIGITAL_OCEAN = "digitalocean"
    DJANGO = "django"
    FAST_API = "fast_api"
    FLASK = "flask"
    TORNADO = "tornado"


class QueryParamKey(enum.Enum):
    """The names of query parameters (protocol.md 5.1)."""

    FUNCTION_ID = "fnId"
    PROBE = "probe"
    STEP_ID = "stepId"
    SYNC_ID = "deployId"


class SyncKind(enum.Enum):
    """How an app is synced (protocol.md 4.3)."""

    IN_BAND = "in_band"
    OUT_OF_BAND = "out_of_band"


class Probe(enum.Enum):
    """What a probe asks (protocol.md 4.7)."""

    TRUST = "trust"


class InternalEvents(enum.Enum):
    """Events that the server sends."""

    FUNCTION_FAILED = "inngest/function.failed"


class OptKey(enum.Enum):
    """Keys in the options of a step."""

    PARALLEL_MODE = "parallelMode"


class DeployType(enum.Enum):
    """How an app says that it is there."""

    PING = "ping"


__getattr__ = without_counterpart(__name__)
