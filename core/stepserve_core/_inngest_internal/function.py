"""Names of the official `inngest._internal.function`."""

from stepserve_core._function import Function
from stepserve_core._inngest_internal import without_counterpart

__all__ = ["Function"]

__getattr__ = without_counterpart(__name__)
