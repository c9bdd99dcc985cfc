"""Run functions in tests, without a server; see `stepserve_core.mocked`."""

from stepserve_core.mocked import Inngest, Result, Status, Timeout, trigger

__all__ = ["Inngest", "Result", "Status", "Timeout", "trigger"]
