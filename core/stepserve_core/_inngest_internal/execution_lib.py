"""Names of the official `inngest._internal.execution_lib`."""

from stepserve_core._context import Context, ContextSync
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core.step_context import get_step_context, set_step_context

__all__ = ["Context", "ContextSync", "get_step_context", "set_step_context"]

__getattr__ = without_counterpart(__name__)
