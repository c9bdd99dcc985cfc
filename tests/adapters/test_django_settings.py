"""Django's setting STEPSERVE, and what the system checks say of it and of what is served."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path

import stepserve.django
from stepserve import Streaming, errors
from stepserve.django.configuration import configured_options, get_client
from stepserve.django.discovery import discovered_functions
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import KEY
from tests.adapters.django_project import APPS, OTHER, STEPS, URLS, Write, problems, project, recorder, settings, write
from tests.frameworks import django as frameworks
from tests.frameworks import servers

__all__ = ["recorder", "write"]


def test_the_client_takes_every_argument_from_the_setting(recorder: Recorder) -> None:
    setting = settings(
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
    write("urls", URLS)
    with project(setting, ROOT_URLCONF="shop_app.urls"):
        ((found, message),) = problems()

    assert found == f"stepserve.{code}"
    assert says in message


def test_a_missing_signing_key_is_found_by_the_checks(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    with project({"APP_ID": "shop", "IS_PRODUCTION": True}, ROOT_URLCONF="shop_app.urls"):
        ((found, message),) = problems()

    assert found == "stepserve.E006"
    assert "INNGEST_SIGNING_KEY" in message


@pytest.mark.parametrize("setting", [{"APP_ID": 5}, {"APP_ID": "shop", "IS_PRODUCTION": True}])
def test_a_wrong_setting_refuses_its_own_requests_only(write: Write, setting: object) -> None:
    with project(setting, INSTALLED_APPS=APPS):
        patterns = (path("api/", include(stepserve.django.urls())), path("fine", lambda request: HttpResponse("fine")))
        with servers.waitress(frameworks.WSGIApp(patterns)) as port:
            send = Sender(port)
            statuses = [send(method, "/api/inngest").status for method in ("GET", "POST", "PUT")]

            assert send("GET", "/fine").body == b"fine"
    assert statuses == [500, 500, 500]


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with project({"APP_ID": "a", "SINGING_KEY": KEY}, INSTALLED_APPS=APPS):
        hints = [one.hint for one in run_checks() if one.id == "stepserve.E002"]

    assert hints == ["Did you mean 'SIGNING_KEY'?"]


def test_functions_that_no_url_serves_are_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    with project(settings(recorder), ROOT_URLCONF="shop_app"):
        pass
    write("urls", "urlpatterns = []")
    with project(settings(recorder), ROOT_URLCONF="shop_app.urls"):
        found = problems()

    assert found == [("stepserve.W001", "1 step functions were found, but no URL serves them.")]


def test_functions_of_another_app_are_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS + OTHER)
    write("urls", URLS)
    with project(settings(recorder), ROOT_URLCONF="shop_app.urls"):
        found = problems()
        served = [function.id for function in discovered_functions()]

    assert served == ["shop-charge"]
    assert found == [("stepserve.W002", "urls() serves the app 'shop', and so leaves out: other-stray.")]


def test_development_mode_in_a_deployment_is_found(recorder: Recorder, write: Write) -> None:
    write("steps", STEPS)
    write("urls", URLS)
    with project(settings(recorder, IS_PRODUCTION=False), ROOT_URLCONF="shop_app.urls"):
        usual, deployment = problems(), problems(include_deployment_checks=True)

    assert usual == []
    ((code, message),) = deployment
    assert code == "stepserve.W003"
    assert "/api/inngest" in message
