"""A Django project of one app, `shop_app`, whose modules tests write; for tests of what needs a project."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from django.urls import clear_url_caches

from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import KEY
from tests.frameworks import django as frameworks

STEPS = """
import stepserve.django
from stepserve import ContextSync, Inngest, TriggerEvent

client = stepserve.django.get_client()
trigger = TriggerEvent(event="shop/ordered")

@client.create_function(fn_id="charge", trigger=trigger)
def charge(ctx: ContextSync) -> str:
    return "charged"
"""
FUNCTIONS = """
from shop_app.steps import charge, client, trigger

@client.create_function(fn_id="ship", trigger=trigger)
def ship(ctx) -> str:
    return "shipped"
"""
OTHER = """
from stepserve import Inngest, TriggerEvent

@Inngest(app_id="other", is_production=False).create_function(fn_id="stray", trigger=TriggerEvent(event="a/b"))
def stray(ctx) -> None:
    return None
"""
URLS = """
import stepserve.django
from django.urls import include, path

urlpatterns = [path("api/", include(stepserve.django.urls()))]
"""
APPS = [*frameworks.INSTALLED_APPS, "stepserve.django"]

Write = Callable[[str, str], None]


@pytest.fixture
def recorder() -> Generator[Recorder, None, None]:
    """Return a server that apps register with."""
    with Recorder.running() as running:
        yield running


@pytest.fixture
def write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Write, None, None]:
    """Return what writes a module of the app `shop_app`; the modules are forgotten afterwards."""
    folder = tmp_path / "shop_app"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write_module(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)

    write_module("__init__", "")
    yield write_module
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop_app"]:
        del sys.modules[name]
    clear_url_caches()


def settings(recorder: Recorder, **own: Any) -> dict[str, Any]:
    origin = recorder.origin
    return {"APP_ID": "shop", "API_BASE_URL": origin, "IS_PRODUCTION": True, "SIGNING_KEY": KEY, **own}


@contextlib.contextmanager
def project(setting: object, **own: Any) -> Generator[None, None, None]:
    with override_settings(STEPSERVE=setting), override_settings(**{"INSTALLED_APPS": [*APPS, "shop_app"], **own}):
        yield
    clear_url_caches()


def problems(**options: Any) -> list[tuple[str | None, str]]:
    return [(one.id, one.msg) for one in run_checks(**options) if (one.id or "").startswith("stepserve.")]
