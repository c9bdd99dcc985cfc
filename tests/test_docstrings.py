"""Everything public says what it does: modules, classes, functions, methods and properties."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import types
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import stepserve
import stepserve_core

APART = (
    *("stepserve_core.executor", "stepserve_core.cli", "stepserve_core.demo"),
    *("stepserve.testing.contract", "stepserve.as_inngest"),
)
"""What users run and do not import; importing `as_inngest` has effects."""


def _public_modules() -> list[str]:
    names = [stepserve.__name__, stepserve_core.__name__]
    for package in (stepserve, stepserve_core):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None)
        names += [module.name for module in found]
    return [
        name
        for name in names
        if not name.startswith(APART) and not any(part.startswith("_") for part in name.split("."))
    ]


def _members(owner: Any, name: str) -> Iterator[tuple[str, object]]:
    """Yield what a class itself defines for its users."""
    for member, value in vars(owner).items():
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if isinstance(function, types.FunctionType) and not member.startswith("_"):
            yield f"{name}.{member}", function


def _documentable(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    yield module.__name__, module
    for name, value in vars(module).items():
        if name.startswith("_") or not getattr(value, "__module__", "").startswith("stepserve"):
            continue
        if inspect.isclass(value):
            yield name, value
            for base in value.__mro__:
                if base.__module__.startswith("stepserve"):
                    yield from _members(base, name)
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize("name", _public_modules())
def test_everything_public_has_a_docstring(name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"not installed: {error.name}")

    assert [] == sorted({what for what, value in _documentable(module) if not (value.__doc__ or "").strip()})


def test_the_walk_finds_what_users_call() -> None:
    found = {name for name, _ in _documentable(stepserve)}

    assert {"Inngest.create_function", "Step.run", "Step.fetch", "Event.model_dump", "Context", "providing"} <= found


CODE = [
    name
    for name in stepserve.__all__
    if inspect.isclass(getattr(stepserve, name)) or inspect.isroutine(getattr(stepserve, name))
]


@pytest.mark.parametrize("name", CODE)
def test_a_public_name_says_where_its_rules_come_from(name: str) -> None:
    assert re.search(r"protocol\.md (sections? )?\d", getattr(stepserve, name).__doc__ or "")
