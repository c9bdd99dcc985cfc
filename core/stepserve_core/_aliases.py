"""How `import inngest` finds the modules of stepserve."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_ALIASES = {
    "inngest._internal": "stepserve_core._inngest_internal",
    "inngest._internal.errors": "stepserve_core.errors",
    "inngest_encryption": "stepserve.encryption",
}
"""The modules that are not called alike; all others below `inngest` are those below `stepserve`."""

_INSIDE: dict[str, dict[str, str]] = {
    "inngest_encryption": {"main": "stepserve.encryption"},
    "inngest.experimental.mocked": dict.fromkeys(("client", "consts", "trigger"), "stepserve.experimental.mocked"),
    "inngest.experimental.realtime": {
        "publish": "stepserve.experimental.realtime",
        "subscription_tokens": "stepserve.experimental.realtime",
    },
    "inngest.experimental.remote_state_middleware": {
        "in_memory_driver": "stepserve_core.remote_state",
        "middleware": "stepserve_core.remote_state",
        "s3_driver": "stepserve_core.remote_state",
    },
    **{
        f"inngest._internal.{outer}": dict.fromkeys(inner, f"stepserve_core._inngest_internal.{outer}")
        for outer, inner in (
            ("client_lib", ("client", "models")),
            ("execution_lib", ("context_var", "models")),
            ("middleware_lib", ("middleware",)),
            ("server_lib", ("consts", "event", "registration")),
            ("step_lib", ("base", "group", "step_async", "step_sync")),
        )
    },
}
"""Modules into which the official package has cut what is one module here, or is cut elsewhere.

They are there as soon as the one around them is: if they were found later, Python would put them in the place of the
functions `trigger` and `publish`, which are called like them.
"""


def counterpart(name: str) -> str | None:
    """Return the module behind an alias; None for what is no alias."""
    outer, _, inner = name.rpartition(".")
    if inner in _INSIDE.get(outer, ()):
        return _INSIDE[outer][inner]
    if name in _ALIASES:
        return _ALIASES[name]
    if name.startswith("inngest._internal."):
        return name.replace("inngest._internal", _ALIASES["inngest._internal"], 1)
    if name == "inngest" or name.startswith("inngest."):
        return "stepserve" + name.removeprefix("inngest")
    return None


class AliasFinder(MetaPathFinder):
    """Finds aliases, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load an alias."""
        del path, target
        behind = counterpart(fullname)
        return None if behind is None else ModuleSpec(fullname, _Loader(behind))


class _Loader(Loader):
    """Puts the module behind an alias in its place, so that both names stand for one module."""

    def __init__(self, behind: str) -> None:
        self._counterpart = behind

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module, which nobody gets to see."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        """Import the counterpart; the import system hands out what is in sys.modules afterwards.

        Raises:
            ModuleNotFoundError: there is none.
        """
        try:
            sys.modules[module.__name__] = importlib.import_module(self._counterpart)
            for name, behind in _INSIDE.get(module.__name__, {}).items():
                sys.modules[f"{module.__name__}.{name}"] = importlib.import_module(behind)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{self._counterpart}.".startswith(f"{error.name}."):
                raise  # a framework that is not installed
            raise ModuleNotFoundError(
                f"the module {module.__name__} of the official package has no counterpart in stepserve",
                name=module.__name__,
            ) from None
