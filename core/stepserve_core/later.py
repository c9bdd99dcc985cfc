"""Names of packages that are imported when somebody uses them (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping


def names_later(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package whose names come from other modules; `modules` has these, by name.

    Type checkers must not see it: for them, a package with such a function has all names.
    """

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - for these names only

        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
