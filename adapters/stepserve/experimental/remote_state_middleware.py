"""Outputs of steps in a store of your own; see `stepserve_core.remote_state`."""

from stepserve_core.remote_state import InMemoryDriver, RemoteStateMiddleware, S3Driver, StateDriver

__all__ = ["InMemoryDriver", "RemoteStateMiddleware", "S3Driver", "StateDriver"]
