"""Whether the libraries of an extra are installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from stepserve_core.cli.problems import Problem


def missing(modules: Sequence[str]) -> list[str]:
    """Return those of `modules` that cannot be imported. None of them is loaded."""
    return [module for module in modules if find_spec(module) is None]


def require(modules: Sequence[str], extra: str, command: str) -> None:
    """Refuse to go on without `modules`.

    Raises:
        Problem: at least one is not installed; it names the extra that brings it.
    """
    absent = missing(modules)
    if absent:
        raise Problem(f'`stepserve {command}` needs {", ".join(absent)}: pip install "stepserve[{extra}]"')


def require_server() -> None:
    """Refuse to go on without the executor's libraries.

    Raises:
        Problem: one is not installed.
    """
    try:
        import_module("stepserve_core.executor.server")
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "stepserve_core"):
            raise
        raise Problem(f'the executor needs {library}: pip install "stepserve[server]"') from None
