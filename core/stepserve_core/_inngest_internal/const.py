"""Constants, under the names of the official `inngest._internal.const`."""

from __future__ import annotations

import enum

from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._settings import CLOUD_API_ORIGIN as DEFAULT_API_ORIGIN
from stepserve_core._settings import CLOUD_EVENT_ORIGIN as DEFAULT_EVENT_API_ORIGIN
from stepserve_core._settings import DEV_ORIGIN as DEV_SERVER_ORIGIN
from stepserve_core._streaming import Streaming
from stepserve_core._version import VERSION
from stepserve_core.handler import DEFAULT_PATH as DEFAULT_SERVE_PATH

__all__ = [
    "AUTHOR",
    "DEFAULT_API_ORIGIN",
    "DEFAULT_EVENT_API_ORIGIN",
    "DEFAULT_SERVE_PATH",
    "DEV_SERVER_ORIGIN",
    "LANGUAGE",
    "VERSION",
    "EnvKey",
    "Streaming",
]

AUTHOR = "inngest"
LANGUAGE = "py"


class EnvKey(enum.Enum):
    """The environment variables that are read."""

    API_BASE_URL = "INNGEST_API_BASE_URL"
    BASE_URL = "INNGEST_BASE_URL"
    CONNECT_MAX_WORKER_CONCURRENCY = "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"
    DEV = "INNGEST_DEV"
    ENABLE_UNAUTHED_SYNC = "INNGEST_ENABLE_UNAUTHED_SYNC"
    ENV = "INNGEST_ENV"
    EVENT_API_BASE_URL = "INNGEST_EVENT_API_BASE_URL"
    EVENT_KEY = "INNGEST_EVENT_KEY"
    RAILWAY_GIT_BRANCH = "RAILWAY_GIT_BRANCH"
    RENDER_GIT_BRANCH = "RENDER_GIT_BRANCH"
    SERVE_ORIGIN = "INNGEST_SERVE_ORIGIN"
    SERVE_PATH = "INNGEST_SERVE_PATH"
    SIGNING_KEY = "INNGEST_SIGNING_KEY"
    SIGNING_KEY_FALLBACK = "INNGEST_SIGNING_KEY_FALLBACK"
    STREAMING = "INNGEST_STREAMING"
    THREAD_POOL_MAX_WORKERS = "INNGEST_THREAD_POOL_MAX_WORKERS"
    VERCEL_GIT_BRANCH = "VERCEL_GIT_COMMIT_REF"


__getattr__ = without_counterpart(__name__)
