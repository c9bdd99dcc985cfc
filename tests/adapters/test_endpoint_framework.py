"""`stepserve.endpoint` finds the framework of a route, or says that it cannot."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import types
from typing import Any

import django.http
import fastapi
import flask
import pytest
import starlette.requests
import tornado.web

import stepserve
import stepserve.flask
from stepserve import Inngest, _endpoint
from stepserve._endpoint import Framework
from stepserve_core.errors import ConfigurationError
from tests.cli.command import environment

PROGRAM = """
import sys
import stepserve
client = stepserve.Inngest(app_id="shop", is_production=False)
def checkout(step): ...
try:
    stepserve.endpoint(client)(checkout)
except stepserve.errors.Error as error:
    print(error)
import flask
print(stepserve.endpoint(client)(checkout).__code__.co_filename)
"""


def test_a_route_belongs_to_what_is_imported_when_it_is_made() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        encoding="utf-8",
    )

    assert "" == ran.stderr
    error, where = ran.stdout.splitlines()
    assert "checkout belongs to: none of django, fastapi, flask, starlette, tornado is imported" in error
    assert ("stepserve", "flask.py") == pathlib.Path(where).parts[-2:]


Names = dict[str, Any]


@pytest.mark.parametrize(
    ("names", "imported", "expected"),
    [
        ({"flask": flask}, {"flask", "django"}, "flask"),
        ({"abort": flask.redirect, "jsonify": flask.jsonify}, {"flask", "django"}, "flask"),
        ({"app": flask.Flask("shop")}, {"flask", "tornado"}, "flask"),
        ({"Handler": tornado.web.RequestHandler}, {"flask", "tornado"}, "tornado"),
        ({"render": django.http.HttpResponse}, {"flask", "django"}, "django"),
        ({"Request": starlette.requests.Request}, {"fastapi", "starlette", "flask"}, "starlette"),
        ({"Request": starlette.requests.Request, "fastapi": fastapi}, {"fastapi", "starlette"}, "fastapi"),
        ({}, {"fastapi", "starlette", "json"}, "fastapi"),
        ({"name": "flask", "number": 1}, {"tornado"}, "tornado"),
        ({}, {"flask", "django"}, "may be one of django and flask"),
        ({"flask": flask, "Handler": tornado.web.RequestHandler}, {"flask"}, "may be one of flask and tornado"),
        ({}, {"json"}, "none of django, fastapi, flask, starlette, tornado is imported"),
    ],
)
def test_a_route_belongs_to_what_its_module_names_or_else_to_what_is_imported(
    names: Names, imported: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checkout(step: Any) -> None: ...

    found: list[str] = []
    view = types.FunctionType(checkout.__code__, names, "checkout")
    modules = {name: sys.modules.get(name) for name in imported}
    monkeypatch.setattr(_endpoint, "sys", types.SimpleNamespace(modules=modules))
    monkeypatch.setattr(_endpoint, "importlib", types.SimpleNamespace(import_module=_noting(found)))
    make = stepserve.endpoint(Inngest(app_id="shop", is_production=False))
    if " " not in expected:
        make(view)

        assert [f"stepserve.{expected}"] == found
        return
    with pytest.raises(ConfigurationError, match=expected):
        make(view)


def _noting(found: list[str]) -> Any:
    def load(name: str) -> Any:
        found.append(name)
        return types.SimpleNamespace(endpoint=lambda client: lambda view: view)

    return load


def test_a_framework_that_is_named_is_taken() -> None:
    def checkout(step: Any) -> None:
        del step

    client = Inngest(app_id="shop", is_production=False)
    made: Any = stepserve.endpoint(client, framework="flask", retries=1)(checkout)

    assert made.__code__ is stepserve.flask.endpoint(client)(checkout).__code__


@pytest.mark.parametrize("name", ["quart", "flask.views", ""])
def test_what_has_no_endpoints_is_refused(name: Any) -> None:
    framework: Framework = name
    with pytest.raises(ConfigurationError, match="django, fastapi, flask, starlette, tornado"):
        stepserve.endpoint(Inngest(app_id="shop", is_production=False), framework=framework)


FOO: dict[str, Any] = {"foo": 1}


@pytest.mark.parametrize(
    ("serve", "options"),
    [
        (lambda client: stepserve.flask.serve(flask.Flask("shop"), client, [], **FOO), "enable_unauthed_sync"),
        (lambda client: stepserve.flask.endpoint(client, **FOO)(print), "checkpointing, name, respond, retries"),
        (lambda client: stepserve.endpoint(client, framework="flask", **FOO)(print), "checkpointing, name, respond"),
    ],
)
def test_an_unknown_option_is_named_with_those_that_there_are(serve: Any, options: str) -> None:
    with pytest.raises(TypeError, match=rf"^there is no option 'foo'; the options are {options}"):
        serve(Inngest(app_id="shop", is_production=False))
