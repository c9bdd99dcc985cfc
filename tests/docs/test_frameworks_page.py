"""The table in docs/frameworks.md says what the harnesses and the extras say."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import re
import warnings

import pytest

import stepserve
from tests.contract.conftest import HARNESSES

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| [^|]+ \| `stepserve\.", line)
]
BY_MODULE = {row[1].split("`")[1].removeprefix("stepserve."): row for row in ROWS}

REQUIREMENT = {"azure": "azure-functions", "google_cloud": "functions-framework"}
"""What an extra's version is about, where it is not called like the module."""


def test_every_adapter_is_in_the_table() -> None:
    (package,) = map(pathlib.Path, stepserve.__path__)
    candidates = [*package.glob("*.py"), *package.glob("*/patterns.py")]
    files = [path for path in candidates if "FRAMEWORK = " in path.read_text(encoding="utf-8")]
    modules = {path.parent.name if path.parent != package else path.stem for path in files}

    assert modules == set(BY_MODULE)
    assert {module for module, _, _ in HARNESSES} == set(BY_MODULE)


@pytest.mark.parametrize(("module", "name", "packages"), HARNESSES)
def test_a_row_says_what_its_harness_says(module: str, name: str, packages: tuple[str, ...]) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    harness = getattr(importlib.import_module(f"tests.frameworks.{module}"), name)

    assert BY_MODULE[module][4] == ("yes" if harness.STREAMS else "no")
    server = re.search(r"On(Waitress|Gunicorn|Uvicorn|Hypercorn|Werkzeug|FunctionsFramework)$", name)
    if server is not None:
        assert server[1].lower() in BY_MODULE[module][5].lower().replace("-", "")


@pytest.mark.parametrize("module", BY_MODULE)
def test_the_oldest_version_is_that_of_the_extra(module: str) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extra = re.search(rf"^{module} = \[(.*)\]$", project, re.MULTILINE)
    oldest = re.search(rf'"{REQUIREMENT.get(module, module)}>=([\d.]+)"', extra[1]) if extra else None

    assert BY_MODULE[module][3] == (oldest[1] if oldest else "-")


@pytest.mark.parametrize("module", BY_MODULE)
def test_the_mounts_exist(module: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # WebOb, which Pyramid imports, uses the deprecated `cgi`
            adapter = importlib.import_module(f"stepserve.{module}")
    except ImportError as error:
        pytest.skip(f"not installed: {error.name}")
    mounts = re.findall(r"`(\w+)\(…\)", BY_MODULE[module][2])

    assert mounts != []
    assert [mount for mount in mounts if not callable(getattr(adapter, mount))] == []
