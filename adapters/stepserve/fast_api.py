"""`stepserve.fastapi` under the name that it has on the wire."""

from stepserve.fastapi import FRAMEWORK, router, serve

__all__ = ["FRAMEWORK", "router", "serve"]
