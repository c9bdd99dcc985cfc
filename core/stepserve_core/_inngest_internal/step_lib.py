"""Names of the official `inngest._internal.step_lib`."""

from stepserve_core._group import Group, GroupSync
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._middleware import StepMemos
from stepserve_core._step import Step, StepSync

__all__ = ["Group", "GroupSync", "Step", "StepMemos", "StepSync"]

__getattr__ = without_counterpart(__name__)
