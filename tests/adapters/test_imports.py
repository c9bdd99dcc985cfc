"""An adapter imports its own framework, and nothing of any other."""

from __future__ import annotations

import ast
import functools
import importlib.util
import pathlib
import pkgutil
import re

import pytest

import stepserve
import stepserve_pytest
from tests.loaded import loaded_by

OWN = {
    "_fastapi_endpoint": ["fastapi"],
    "as_inngest": [],
    "asgi": [],
    "aws_lambda": [],
    "azure": ["azure.functions"],
    "connect": ["websockets"],
    "digital_ocean": [],
    "encryption": [],
    "experiment": [],
    "experimental": [],
    "fast_api": ["fastapi"],
    "google_cloud": ["flask"],
    "http_server": [],
    "otel": ["opentelemetry"],
    "realtime": [],
    "stream": [],
    "testing": [],
    "wsgi": [],
}
"""What adapters import that is not called like themselves."""

ADAPTERS = sorted(module.name for module in pkgutil.iter_modules(stepserve.__path__) if module.name != "__main__")

OTHERS = {"httpx", "pydantic", "pytest", "uvicorn", "waitress", "werkzeug"}
"""What no adapter loads if its framework does not, besides frameworks."""


def _own(adapter: str) -> list[str]:
    """Return what an adapter is for, or skip the test if that is not installed."""
    own = OWN.get(adapter, [] if adapter.startswith("_") else [adapter])
    missing = [name for name in own if not _is_installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return own


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


FRAMEWORKS = {name.partition(".")[0] for adapter in ADAPTERS for name in OWN.get(adapter, [adapter])}


@functools.cache
def _packages(*modules: str) -> frozenset[str]:
    """Return the packages of interest that importing `modules` loads."""
    loaded = {name.partition(".")[0] for name in loaded_by(*modules)}
    return frozenset(loaded & (FRAMEWORKS | OTHERS))


def test_the_adapters_are_found() -> None:
    assert {"asgi", "fastapi", "flask", "wsgi"} <= set(ADAPTERS)
    assert {"fastapi", "flask", "starlette"} <= FRAMEWORKS


def test_the_package_loads_no_framework() -> None:
    assert _packages("stepserve", "stepserve.testing") == set()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_loads_its_own_framework_only(adapter: str) -> None:
    own = _own(adapter)
    loaded = _packages(f"stepserve.{adapter}")

    assert {name.partition(".")[0] for name in own} <= loaded
    assert loaded <= (_packages(*own) if own else set())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_loads_neither_executor_nor_command_line(adapter: str) -> None:
    _own(adapter)
    loaded = loaded_by(f"stepserve.{adapter}")

    assert "stepserve_core._client" in loaded
    assert [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))] == []


def test_the_contract_suite_loads_pytest_and_no_framework() -> None:
    assert _packages("stepserve.testing.contract", "stepserve.testing.servers") == {"pytest"}


FOREIGN = {"_body", "_get_current_object", "_headers", "_write_buffer"}
"""Private attributes of frameworks that adapters need: Django's request, Flask's and Quart's proxies, and what a
handler of Tornado has written so far, which a durable endpoint saves."""


def test_no_adapter_touches_private_attributes_of_the_core() -> None:
    (root,) = map(pathlib.Path, stepserve.__path__)
    files = [path for path in root.rglob("*.py") if "testing" not in path.parts]
    trees = [ast.parse(path.read_text()) for path in files]
    touched = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }

    assert len(files) > 20
    assert touched == FOREIGN


PRIVATE = re.compile(
    r"^\s*(?:from|import) (stepserve_core\._\w+)|^\s*from stepserve_core import .*\b(_[a-z]\w*)", re.MULTILINE
)


def _sources() -> list[pathlib.Path]:
    packages = map(pathlib.Path, (*stepserve.__path__, *stepserve_pytest.__path__))
    return [path for package in packages for path in package.rglob("*.py")]


@pytest.mark.parametrize("path", _sources(), ids=lambda path: "/".join(path.parts[-2:]))
def test_an_adapter_needs_nothing_private_of_the_core(path: pathlib.Path) -> None:
    assert [] == PRIVATE.findall(path.read_text(encoding="utf-8"))
