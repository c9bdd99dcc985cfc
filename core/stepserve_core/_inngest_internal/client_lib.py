"""Names of the official `inngest._internal.client_lib`."""

from stepserve_core._client import Inngest
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._middleware import SendEventsResult

__all__ = ["Inngest", "SendEventsResult"]

__getattr__ = without_counterpart(__name__)
