"""A Django project with `stepserve.django` installed: discovery, the setting, commands, checks."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.urls import clear_url_caches

import stepserve.django
from stepserve import Streaming, errors
from stepserve.django.configuration import configured_options, get_client
from stepserve.django.discovery import discovered_functions
from tests.cli.command import environment
from tests.contract.recorder import Recorder
from tests.contract.served import KEY, App
from tests.frameworks import django as frameworks
from tests.frameworks import servers
from tests.frameworks.harness import Sender

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
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "django" / "app.py"
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


def _settings(recorder: Recorder, **own: Any) -> dict[str, Any]:
    origin = recorder.origin
    return {"APP_ID": "shop", "API_BASE_URL": origin, "IS_PRODUCTION": True, "SIGNING_KEY": KEY, **own}


@contextlib.contextmanager
def _project(setting: object, **own: Any) -> Generator[None, None, None]:
    with override_settings(STEPSERVE=setting), override_settings(**{"INSTALLED_APPS": [*APPS, "shop_app"], **own}):
        yield
    clear_url_caches()


def _problems(**options: Any) -> list[tuple[str | None, str]]:
    return [(one.id, one.msg) for one in run_checks(**options) if (one.id or "").startswith("stepserve.")]


def test_functions_of_installed_apps_are_discovered_and_served(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("functions", FUNCTIONS)
    write("urls", URLS)
    with _project(_settings(recorder), ROOT_URLCONF="shop_app.urls"):
        from importlib import import_module

        patterns = tuple(import_module("shop_app.urls").urlpatterns)
        with servers.waitress(frameworks.WSGIApp(patterns)) as port:
            answers = [App(Sender(port)).call(name).json() for name in ("charge", "ship")]
        ids = [function.local_id for function in discovered_functions()]
        problems = _problems(include_deployment_checks=True)

    assert answers == ["charged", "shipped"]
    assert ids == ["charge", "ship"]
    assert problems == []


def test_the_modules_are_imported_when_the_project_starts(recorder: Recorder, write: Write) -> None:
    write("steps", "raise LookupError('a mistake in steps.py')")

    with pytest.raises(LookupError, match=r"a mistake in steps\.py"), _project(_settings(recorder)):
        pass


def test_other_modules_can_be_looked_at(recorder: Recorder, write: Write) -> None:
    write("steps", "raise LookupError")
    write("jobs", STEPS)
    with _project(_settings(recorder, MODULES=["jobs"])):
        assert [function.id for function in discovered_functions()] == ["shop-charge"]


def test_the_client_takes_every_argument_from_the_setting(recorder: Recorder) -> None:
    setting = _settings(
        recorder,
        APP_VERSION="7",
        ENV="feature",
        EVENT_API_BASE_URL="https://events.example",
        EVENT_KEY="key",
        LOGGER="shop.jobs",
        MIDDLEWARE=["stepserve.Middleware"],
        REQUEST_TIMEOUT="2s",
        SERIALIZER="stepserve.PydanticSerializer",
    )
    with override_settings(STEPSERVE=setting):
        client = get_client()

        assert client is stepserve.django.get_client()
    assert (client.app_id, client.app_version, client.env, client.event_key) == ("shop", "7", "feature", "key")
    assert (client.api_origin, client.event_api_origin) == (recorder.origin, "https://events.example")
    assert (client.signing_key, client.is_production, client.request_timeout) == (KEY, True, 2.0)
    assert client.logger.name == "shop.jobs"
    assert client.middleware == [stepserve.Middleware]
    assert client.serializer is not None


def test_a_finished_client_can_be_named(write: Write) -> None:
    write("jobs", "from stepserve import Inngest\nclient = Inngest(app_id='mine', is_production=False)")
    with override_settings(STEPSERVE={"CLIENT": "shop_app.jobs.client"}):
        assert get_client().app_id == "mine"
    with (
        override_settings(STEPSERVE={"CLIENT": "os.sep"}),
        pytest.raises(errors.ConfigurationError, match=r"'os\.sep' is a str"),
    ):
        get_client()


def test_the_options_of_serve_come_from_the_setting() -> None:
    setting = {"APP_ID": "a", "PATH": "jobs", "SERVE_ORIGIN": "x.com", "STREAMING": "force", "PUBLIC_PATH": None}
    with override_settings(STEPSERVE=setting):
        options = configured_options()

    assert options.path == "jobs"
    assert options.mount == {"serve_origin": "x.com", "streaming": Streaming.FORCE}


def test_without_the_setting_there_is_no_client() -> None:
    with pytest.raises(errors.ConfigurationError, match="STEPSERVE is missing"):
        get_client()


@pytest.mark.parametrize(
    ("setting", "code", "says"),
    [
        ("shop", "E001", "must be a dict, not str"),
        ({"APP_ID": "a", "SINGING_KEY": KEY}, "E002", "unknown key: 'SINGING_KEY'"),
        ({"APP_ID": "a", "app_id": "b"}, "E002", "unknown key: 'app_id'"),
        ({"APP_ID": 5}, "E003", "['APP_ID'] must be str, not int"),
        ({"APP_ID": "a", "IS_PRODUCTION": "no"}, "E003", "['IS_PRODUCTION'] must be bool, not str"),
        ({"APP_ID": "a", "REQUEST_TIMEOUT": True}, "E003", "must be int or str or timedelta, not bool"),
        ({"APP_ID": "a", "MODULES": "steps"}, "E003", "['MODULES'] must be list or tuple, not str"),
        ({"APP_ID": "a", "STREAMING": "yes"}, "E003", 'must be "force" or "disable"'),
        ({"PATH": "jobs"}, "E004", "names no app"),
        ({"APP_ID": "a", "CLIENT": "a.b"}, "E004", "these say nothing: 'APP_ID'"),
        ({"APP_ID": "a", "SIGNING_KEY": "not hexadecimal"}, "E005", "Inngest(signing_key=…)"),
        ({"APP_ID": "a", "MIDDLEWARE": ["nowhere.Middleware"]}, "E005", "nowhere"),
        ({"CLIENT": "nowhere.client"}, "E005", "nowhere"),
    ],
)
def test_a_wrong_setting_is_found_by_the_checks(write: Write, setting: object, code: str, says: str) -> None:
    write("steps", STEPS)
    with _project(setting):
        ((found, message),) = _problems()
        with pytest.raises((errors.ConfigurationError, ImportError)):
            stepserve.django.urls()

    assert found == f"stepserve.{code}"
    assert says in message


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with _project({"APP_ID": "a", "SINGING_KEY": KEY}, INSTALLED_APPS=APPS):
        hints = [one.hint for one in run_checks() if one.id == "stepserve.E002"]

    assert hints == ["Did you mean 'SIGNING_KEY'?"]


def test_functions_that_no_url_serves_are_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    with _project(_settings(recorder), ROOT_URLCONF="shop_app"):
        pass
    write("urls", "urlpatterns = []")
    with _project(_settings(recorder), ROOT_URLCONF="shop_app.urls"):
        problems = _problems()

    assert problems == [("stepserve.W001", "1 step functions were found, but no URL serves them.")]


def test_functions_of_another_app_are_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS + OTHER)
    write("urls", URLS)
    with _project(_settings(recorder), ROOT_URLCONF="shop_app.urls"):
        problems = _problems()
        served = [function.id for function in discovered_functions()]

    assert served == ["shop-charge"]
    assert problems == [("stepserve.W002", "urls() serves the app 'shop', and so leaves out: other-stray.")]


def test_development_mode_in_a_deployment_is_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    with _project(_settings(recorder, IS_PRODUCTION=False), ROOT_URLCONF="shop_app.urls"):
        usual, deployment = _problems(), _problems(include_deployment_checks=True)

    assert usual == []
    ((code, message),) = deployment
    assert code == "stepserve.W003"
    assert "/api/inngest" in message


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
    setting = _settings(recorder, ENABLE_UNAUTHED_SYNC=unsigned_allowed)
    with _project(setting, ROOT_URLCONF="shop_app.urls"):
        said = _call("stepserve_sync", "--origin", "https://shop.example/")
    (request,) = recorder.requests

    assert said == "registered shop at https://shop.example/api/inngest: its functions changed\n"
    assert (request.path, request.json()["url"]) == ("/fn/register", "https://shop.example/api/inngest")
    assert [function["id"] for function in request.json()["functions"]] == ["shop-charge"]


def test_stepserve_sync_says_why_it_failed(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    recorder.answer_next(400, b'{"error":"bad cron"}')
    with _project(_settings(recorder), ROOT_URLCONF="shop_app.urls"):
        with pytest.raises(CommandError, match=r"shop: .*bad cron"):
            _call("stepserve_sync", "--origin", "https://shop.example")
        with pytest.raises(CommandError, match="--origin must begin with"):
            _call("stepserve_sync", "--origin", "shop.example")
        with pytest.raises(CommandError, match="Pass --origin"):
            _call("stepserve_sync")


def test_the_commands_need_something_that_is_served() -> None:
    with _project({}, INSTALLED_APPS=APPS):
        for command in ("stepserve_sync", "stepserve_dev"):
            with pytest.raises(CommandError, match="no URL of this project serves functions"):
                _call(command)


def test_stepserve_dev_refuses_apps_in_production_mode(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    with (
        _project(_settings(recorder), ROOT_URLCONF="shop_app.urls"),
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
