"""A Django project with `stepserve.django` installed: discovery, commands."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable, Generator

import pytest
from django.core.management import CommandError, call_command

from stepserve.django.discovery import discovered_functions
from stepserve.django.served import served_apps
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import App
from tests.adapters.django_project import (
    APPS,
    FUNCTIONS,
    STEPS,
    URLS,
    Write,
    problems,
    project,
    recorder,
    settings,
    write,
)
from tests.cli.command import environment
from tests.frameworks import django as frameworks
from tests.frameworks import servers

__all__ = ["recorder", "write"]

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "django" / "app.py"


def test_functions_of_installed_apps_are_discovered_and_served(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("functions", FUNCTIONS)
    write("urls", URLS)
    with project(settings(recorder), ROOT_URLCONF="shop_app.urls"):
        from importlib import import_module

        patterns = tuple(import_module("shop_app.urls").urlpatterns)
        with servers.waitress(frameworks.WSGIApp(patterns)) as port:
            answers = [App(Sender(port)).call(name).json() for name in ("charge", "ship")]
        ids = [function.local_id for function in discovered_functions()]
        found = problems(include_deployment_checks=True)

    assert answers == ["charged", "shipped"]
    assert ids == ["charge", "ship"]
    assert found == []


def test_the_modules_are_imported_when_the_project_starts(recorder: Recorder, write: Write) -> None:
    write("steps", "raise LookupError('a mistake in steps.py')")

    with pytest.raises(LookupError, match=r"a mistake in steps\.py"), project(settings(recorder)):
        pass


def test_other_modules_can_be_looked_at(recorder: Recorder, write: Write) -> None:
    write("steps", "raise LookupError")
    write("jobs", STEPS)
    with project(settings(recorder, MODULES=["jobs"])):
        assert [function.id for function in discovered_functions()] == ["shop-charge"]


def test_the_path_is_known_below_prefixes_of_every_kind(recorder: Recorder, write: Write) -> None:
    urls = """
import stepserve.django
from django.urls import include, path, re_path

served = [path("api/", include(stepserve.django.urls()))]
urlpatterns = [re_path(r"^v1\\.0/", include(served)), path("plain/", include(served)), *served]
"""
    write("steps", STEPS)
    write("urls", urls)
    with project(settings(recorder), ROOT_URLCONF="shop_app.urls"):
        paths = [app.path for app in served_apps()]

    assert paths == ["/v1.0/api/inngest", "/plain/api/inngest", "/api/inngest"]


def _call(name: str, *arguments: str) -> str:
    output = io.StringIO()
    call_command(name, *arguments, stdout=output)
    return output.getvalue()


@pytest.mark.parametrize("unsigned_allowed", [True, False])
def test_stepserve_sync_registers_without_a_running_project(
    recorder: Recorder, write: Write, unsigned_allowed: bool
) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    setting = settings(recorder, ENABLE_UNAUTHED_SYNC=unsigned_allowed)
    with project(setting, ROOT_URLCONF="shop_app.urls"):
        said = _call("stepserve_sync", "--origin", "https://shop.example/")
    (request,) = recorder.requests

    assert said == "registered shop at https://shop.example/api/inngest: its functions changed\n"
    assert (request.path, request.json()["url"]) == ("/fn/register", "https://shop.example/api/inngest")
    assert [function["id"] for function in request.json()["functions"]] == ["shop-charge"]


def test_stepserve_sync_says_why_it_failed(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    recorder.answer_next(400, b'{"error":"bad cron"}')
    with project(settings(recorder), ROOT_URLCONF="shop_app.urls"):
        with pytest.raises(CommandError, match=r"shop: .*bad cron"):
            _call("stepserve_sync", "--origin", "https://shop.example")
        with pytest.raises(CommandError, match="--origin must begin with"):
            _call("stepserve_sync", "--origin", "shop.example")
        with pytest.raises(CommandError, match="Pass --origin"):
            _call("stepserve_sync")


def test_the_commands_need_something_that_is_served() -> None:
    with project({}, INSTALLED_APPS=APPS):
        for command in ("stepserve_sync", "stepserve_dev"):
            with pytest.raises(CommandError, match="no URL of this project serves functions"):
                _call(command)


def test_stepserve_dev_refuses_apps_in_production_mode(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    with (
        project(settings(recorder), ROOT_URLCONF="shop_app.urls"),
        pytest.raises(CommandError, match="INNGEST_DEV=1"),
    ):
        _call("stepserve_dev")


@contextlib.contextmanager
def _manage(*arguments: str, **variables: str) -> Generator[Callable[[str], None], None, None]:
    """Run the example's `manage.py`; give what waits for a line of its output. It ends well when it is told to."""
    own = {"PYTHONUNBUFFERED": "1", "HOST": "127.0.0.1", **variables}
    command = [sys.executable, str(EXAMPLE), *arguments]
    with subprocess.Popen(
        command, env=environment(**own), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        output = process.stdout
        assert output is not None

        def wait_for(text: str) -> None:
            lines: list[str] = []
            for line in output:
                lines.append(line)
                if text in line:
                    return
            raise AssertionError(f"it ended without {text!r}: {lines}")

        try:
            yield wait_for
        finally:
            process.terminate()
            process.wait(20)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_stepserve_dev_runs_the_example_to_its_end() -> None:
    pytest.importorskip("uvicorn", reason="the executor needs stepserve[server]")
    pytest.importorskip("lark", reason="the executor needs stepserve[server]")
    port, executor_port = _free_port(), _free_port()
    variables = {"INNGEST_DEV": f"http://127.0.0.1:{executor_port}", "PORT": str(port)}
    origin = ["--origin", f"http://127.0.0.1:{port}"]
    with (
        _manage(**variables) as app_says,
        _manage("stepserve_dev", *origin, "--port", str(executor_port), **variables) as executor_says,
    ):
        executor_says(f"stepserve listens at http://127.0.0.1:{executor_port}, for http://127.0.0.1:{port}/api/inngest")
        app_says('"PUT /api/inngest HTTP/1.1" 200')
        ordered = Sender(port)("POST", "/orders", b'{"order_id": "A-1", "total": 120}')
        # The run sleeps for a second after its first step; it has ended when the function returns.
        app_says('fnId=django-shop-process-order&stepId=step HTTP/1.1" 206')
        app_says('fnId=django-shop-process-order&stepId=step HTTP/1.1" 200')

    assert ordered.json() == {"order": "A-1"}


def test_importing_the_adapter_needs_no_settings() -> None:
    variables = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    code = "import stepserve.django; from django.conf import settings; print(settings.configured)"
    run = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)

    assert run.stdout == "False\n"
