"""Errors of tests; see `stepserve_core.mocked`."""

from stepserve_core.mocked.errors import UnstubbedStepError

__all__ = ["UnstubbedStepError"]
