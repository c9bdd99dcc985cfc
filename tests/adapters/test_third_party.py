"""Somebody else's adapter for somebody else's framework, proved with `stepserve.testing.contract`."""

from __future__ import annotations

import ast
import inspect
import os
import pathlib
import subprocess
import sys
from collections import Counter
from types import ModuleType

import pytest

import stepserve.testing.contract as suite

pytest.importorskip("waitress")

FRAMEWORK = """
class App:
    def __init__(self, before_request):
        self.routes, self.before_request = {}, before_request

    def __call__(self, environ, start_response):
        if self.before_request is not None:
            self.before_request()
        view = self.routes.get(environ["PATH_INFO"])
        if view is not None:
            return view(environ, start_response)
        start_response("404 Not Found", [("content-length", "0")])
        return [b""]
"""

ADAPTER = """
import io

from stepserve.wsgi import WSGIApp, read_body
from stepserve_core.handler import Handler, resolve_path

def serve(app, client, functions, **options):
    steps = WSGIApp(Handler(client, functions, framework="toy", **options))

    def view(environ, start_response):
        body = read_body(environ)
        return steps({**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}, start_response)

    app.routes[resolve_path(options.get("serve_path"))] = view
"""

HARNESS = """
import pytest, toy, toy_steps
from stepserve.testing import servers
from stepserve.testing.contract import *

class ToyOnWaitress(Harness):
    FRAMEWORK = "toy"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ", "
    def build(self, client, functions, before_request, **options):
        app = toy.App(before_request)
        toy_steps.serve(app, client, functions, **options)
        return app
    def serve(self, app):
        return servers.waitress(app)

@pytest.fixture(scope="session")
def harness():
    return ToyOnWaitress()
"""


def _prove(folder: pathlib.Path, adapter: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    for name, text in {"toy": FRAMEWORK, "toy_steps": adapter, "test_toy": HARNESS}.items():
        (folder / f"{name}.py").write_text(text)
    roots = [str(folder), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_a_good_adapter_passes(tmp_path: pathlib.Path) -> None:
    done = _prove(tmp_path, ADAPTER)

    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) > 300


def test_the_proof_takes_few_lines() -> None:
    assert len([line for line in HARNESS.splitlines() if line]) <= 18


@pytest.mark.parametrize(
    ("good", "bad", "fails"),
    [
        pytest.param(
            "body = read_body(environ)",
            'body = b" ".join(read_body(environ).split())',
            "test_the_signature_is_checked_over_the_bytes_that_came",
            id="white space is tidied up",
        ),
        pytest.param(
            "body = read_body(environ)",
            'body = read_body(environ).decode("latin-1").encode()',
            "test_odd_text_and_numbers_come_through",
            id="the body is decoded",
        ),
        pytest.param("**options))", "))", "test_streaming_can_be_chosen", id="options are dropped"),
        pytest.param(
            "**environ,", '**environ, "QUERY_STRING": "",', "test_a_new_run_executes_its_first_step", id="no query"
        ),
    ],
)
def test_a_bad_adapter_fails(tmp_path: pathlib.Path, good: str, bad: str, fails: str) -> None:
    assert good in ADAPTER
    done = _prove(tmp_path, ADAPTER.replace(good, bad), "-k", fails)

    assert done.returncode == 1, done.stdout
    assert f"::{fails}[def" in done.stdout
    assert "assert " in done.stdout


def test_the_suite_holds_every_test_of_its_modules() -> None:
    folder = pathlib.Path(inspect.getfile(suite)).parent
    written = Counter(
        node.name
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and (node.name.startswith("test_") or _is_fixture(node))
    )

    assert [name for name, count in written.items() if count > 1] == []
    assert [name for name in written if not hasattr(suite, name) or isinstance(getattr(suite, name), ModuleType)] == []
    assert len(written) > 100


def _is_fixture(node: ast.FunctionDef) -> bool:
    return any("pytest.fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
