"""Counterparts of private modules of the official package that programs are known to import (protocol.md 10.11).

They are reached as `inngest._internal` after `install_as_inngest()`, and are of no other use.
"""

from __future__ import annotations

from collections.abc import Callable

from stepserve_core import errors

__all__ = ["errors", "without_counterpart"]


def without_counterpart(module: str) -> Callable[[str], object]:
    """Return a module's `__getattr__`, which says that a name is missing on purpose."""
    alias = module.replace(__name__, "inngest._internal", 1)

    def missing(name: str) -> object:
        raise AttributeError(f"{name!r} of {alias}, a private name of the official package, has no counterpart here")

    return missing
