"""Errors of functions in Sentry; see `stepserve_core.sentry`. Needs `stepserve[sentry]`."""

from stepserve_core.sentry import SentryMiddleware

__all__ = ["SentryMiddleware"]
