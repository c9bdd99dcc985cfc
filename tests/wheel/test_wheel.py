"""Facts of the built wheel, tested where only the wheel is installed."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def names() -> list[str]:
    with zipfile.ZipFile(os.environ["STEPSERVE_WHEEL"]) as wheel:
        return wheel.namelist()


def test_the_wheel_holds_its_packages_and_nothing_else(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}

    metadata = f"stepserve-{importlib.metadata.version('stepserve')}.dist-info"
    assert {"stepserve", "stepserve_core", "stepserve_pytest", metadata} == tops


@pytest.mark.parametrize(
    "name",
    [
        "stepserve/py.typed",
        "stepserve_core/py.typed",
        "stepserve/testing/servers.py",
        "stepserve_pytest/__init__.py",
        "stepserve_pytest/py.typed",
        "stepserve/testing/contract/__init__.py",
        "stepserve/testing/contract/test_call.py",
        "stepserve_core/demo/examples/flask/app.py",
        "stepserve_core/executor/dashboard/static/index.html",
        "stepserve_core/executor/dashboard/static/js/main.js",
        "stepserve_core/executor/dashboard/static/styles/base.css",
        "stepserve_core/demo/examples/fastapi/app.py",
        "stepserve_core/guides/executor.md",
    ],
)
def test_the_wheel_holds(names: list[str], name: str) -> None:
    assert name in names


def test_nothing_is_imported_from_a_checkout() -> None:
    code = "import stepserve, stepserve_core; print(stepserve.__file__); print(stepserve_core.__file__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert all("site-packages" in pathlib.Path(line).parts for line in out.splitlines())


def test_the_installed_demo_runs_the_main_job() -> None:
    command = [str(pathlib.Path(sys.executable).with_name("stepserve")), "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (0, True) == (done.returncode, bool(json.loads(done.stdout))), done.stderr
