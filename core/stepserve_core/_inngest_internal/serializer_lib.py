"""Names of the official `inngest._internal.serializer_lib`."""

from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._serialize import PydanticSerializer, Serializer

__all__ = ["PydanticSerializer", "Serializer"]

__getattr__ = without_counterpart(__name__)
