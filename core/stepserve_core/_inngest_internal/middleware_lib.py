"""Names of the official `inngest._internal.middleware_lib`."""

from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._middleware import Middleware, MiddlewareSync, UninitializedMiddleware
from stepserve_core._transformed_output import TransformOutputResult, TransformOutputStepInfo

__all__ = [
    "Middleware",
    "MiddlewareSync",
    "TransformOutputResult",
    "TransformOutputStepInfo",
    "UninitializedMiddleware",
]

__getattr__ = without_counterpart(__name__)
