"""Where settings come from: arguments, variables, defaults (protocol.md section 1)."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import _settings, errors
from stepserve_core.handler import Handler, resolve_path

K1 = "signkey-test-8ee2262a"
K2 = "signkey-prod-12345678"
CLOUD_API = "https://api.inngest.com/"
CLOUD_EVENTS = "https://inn.gs/"
DEV = "http://127.0.0.1:8288/"

loosely: Any = core
"""The same names without their types, for arguments that only bad programs pass."""


def settings(variables: dict[str, str] | None = None, **arguments: Any) -> _settings.Settings:
    """Resolve settings from arguments and from nothing else but `variables`."""
    names = ("api_base_url", "env", "event_api_base_url", "event_key", "is_production", "signing_key")
    return _settings.resolve(
        **{name: arguments.get(name) for name in names},
        environment=variables or {},
    )


@pytest.mark.parametrize(
    ("is_production", "dev", "mode"),
    [
        (True, None, "cloud"),
        (True, "1", "cloud"),
        (False, None, "dev"),
        (False, "0", "dev"),
        (None, None, "cloud"),
        (None, "", "cloud"),
        (None, "0", "cloud"),
        (None, "false", "cloud"),
        (None, " FALSE ", "cloud"),
        (None, "1", "dev"),
        (None, "true", "dev"),
        (None, "no", "dev"),
        (None, "http://localhost:9999", "dev"),
    ],
)
def test_the_argument_decides_the_mode_and_then_the_variable(
    is_production: bool | None, dev: str | None, mode: str
) -> None:
    variables = {} if dev is None else {"INNGEST_DEV": dev}

    assert mode == settings(variables, is_production=is_production).mode


def test_there_is_no_signing_key_for_the_default_mode_to_be_safe() -> None:
    assert "cloud" == settings().mode


@pytest.mark.parametrize(
    ("arguments", "variables", "api", "events"),
    [
        ({"is_production": True}, {}, CLOUD_API, CLOUD_EVENTS),
        ({"is_production": False}, {}, DEV, DEV),
        (
            {"is_production": True, "api_base_url": "http://a:1", "event_api_base_url": "http://e:1"},
            {
                "INNGEST_API_BASE_URL": "http://a:2",
                "INNGEST_EVENT_API_BASE_URL": "http://e:2",
                "INNGEST_BASE_URL": "http://b:3",
                "INNGEST_DEV": "http://d:4",
            },
            "http://a:1",
            "http://e:1",
        ),
        (
            {},
            {
                "INNGEST_API_BASE_URL": "http://a:2",
                "INNGEST_EVENT_API_BASE_URL": "http://e:2",
                "INNGEST_BASE_URL": "http://b:3",
                "INNGEST_DEV": "http://d:4",
            },
            "http://a:2",
            "http://e:2",
        ),
        ({}, {"INNGEST_BASE_URL": "http://b:3", "INNGEST_DEV": "http://d:4"}, "http://b:3", "http://b:3"),
        ({}, {"INNGEST_DEV": "http://d:4"}, "http://d:4", "http://d:4"),
        ({"is_production": True}, {"INNGEST_DEV": "http://d:4"}, "http://d:4", "http://d:4"),
        ({}, {"INNGEST_DEV": " http://d:4 "}, "http://d:4", "http://d:4"),
        ({}, {"INNGEST_API_BASE_URL": "http://a:2"}, "http://a:2", CLOUD_EVENTS),
        ({}, {"INNGEST_EVENT_API_BASE_URL": "http://e:2"}, CLOUD_API, "http://e:2"),
        ({}, {"INNGEST_API_BASE_URL": "localhost", "INNGEST_BASE_URL": "b.com"}, "https://b.com", "https://b.com"),
        ({}, {"INNGEST_BASE_URL": "nonsense", "INNGEST_DEV": "1"}, DEV, DEV),
        ({"api_base_url": "a.com"}, {}, "https://a.com", CLOUD_EVENTS),
        ({"api_base_url": "a.com", "is_production": False}, {}, "http://a.com", DEV),
    ],
)
def test_the_order_in_which_origins_are_looked_for(
    arguments: dict[str, Any], variables: dict[str, str], api: str, events: str
) -> None:
    resolved = settings(variables, **arguments)

    assert (api, events) == (resolved.api_origin, resolved.event_api_origin)


@pytest.mark.parametrize(
    ("text", "cloud", "dev"),
    [
        ("example.com", "https://example.com", "http://example.com"),
        ("localhost:8288", "https://localhost:8288", "http://localhost:8288"),
        ("http://localhost:8288/", "http://localhost:8288/", "http://localhost:8288/"),
        ("https://example.com/path", "https://example.com/path", "https://example.com/path"),
        ("host.docker.internal:8288", "https://host.docker.internal:8288", "http://host.docker.internal:8288"),
        ("http://[::1]:8288", "http://[::1]:8288", "http://[::1]:8288"),
        ("HTTP://a.com", "HTTP://a.com", "HTTP://a.com"),
    ],
)
def test_an_origin_gets_the_scheme_of_the_mode(text: str, cloud: str, dev: str) -> None:
    assert (cloud, dev) == (_settings.parse_origin(text, "cloud"), _settings.parse_origin(text, "dev"))


@pytest.mark.parametrize(
    "text",
    ["localhost", "http://foo", "true", "1", "", "http://", "ftp://a.com", "http://:80", "a.com:port", "http://a:b"],
)
@pytest.mark.parametrize("mode", ["cloud", "dev"])
def test_what_is_no_origin_is_refused(text: str, mode: _settings.Mode) -> None:
    with pytest.raises(ValueError, match=r"invalid|port|Port"):
        _settings.parse_origin(text, mode)


@pytest.mark.parametrize("argument", ["api_base_url", "event_api_base_url"])
@pytest.mark.parametrize("text", ["localhost", "http://foo", "", "a:b:c"])
def test_a_bad_origin_argument_is_named(argument: str, text: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=rf"Inngest\({argument}=…\)"):
        loosely.Inngest(app_id="app", is_production=False, **{argument: text})


@pytest.mark.parametrize(
    ("argument", "variables", "expected"),
    [
        ("given", {"INNGEST_ENV": "a"}, "given"),
        (None, {"INNGEST_ENV": "a", "RAILWAY_GIT_BRANCH": "b"}, "a"),
        (None, {"RAILWAY_GIT_BRANCH": "b", "RENDER_GIT_BRANCH": "c", "VERCEL_GIT_COMMIT_REF": "d"}, "b"),
        (None, {"RENDER_GIT_BRANCH": "c", "VERCEL_GIT_COMMIT_REF": "d"}, "c"),
        (None, {"VERCEL_GIT_COMMIT_REF": "d"}, "d"),
        (None, {"INNGEST_ENV": "", "VERCEL_GIT_COMMIT_REF": "d"}, "d"),
        (None, {}, None),
    ],
)
def test_the_environment_name(argument: str | None, variables: dict[str, str], expected: str | None) -> None:
    assert expected == settings(variables, env=argument).env


@pytest.mark.parametrize(
    ("arguments", "variables", "signing_key", "fallback", "event_key"),
    [
        ({}, {}, None, None, None),
        (
            {"signing_key": K1, "event_key": "e1"},
            {"INNGEST_SIGNING_KEY": K2, "INNGEST_EVENT_KEY": "e2"},
            K1,
            None,
            "e1",
        ),
        (
            {},
            {"INNGEST_SIGNING_KEY": K2, "INNGEST_EVENT_KEY": "e2", "INNGEST_SIGNING_KEY_FALLBACK": K1},
            K2,
            K1,
            "e2",
        ),
        (
            {},
            {"INNGEST_SIGNING_KEY": "", "INNGEST_EVENT_KEY": "", "INNGEST_SIGNING_KEY_FALLBACK": ""},
            None,
            None,
            None,
        ),
    ],
)
def test_where_keys_come_from(
    arguments: dict[str, str],
    variables: dict[str, str],
    signing_key: str | None,
    fallback: str | None,
    event_key: str | None,
) -> None:
    found = settings(variables, **arguments)

    assert (signing_key, fallback, event_key) == (found.signing_key, found.signing_key_fallback, found.event_key)


def test_the_primary_key_comes_first() -> None:
    variables = {"INNGEST_SIGNING_KEY": K1, "INNGEST_SIGNING_KEY_FALLBACK": K2}

    assert (K1, K2) == settings(variables).keys


@pytest.mark.parametrize(
    ("arguments", "variables", "source"),
    [
        ({"signing_key": "secret-text"}, {}, r"Inngest\(signing_key=…\)"),
        ({}, {"INNGEST_SIGNING_KEY": "secret-text"}, "environment variable INNGEST_SIGNING_KEY "),
        ({}, {"INNGEST_SIGNING_KEY_FALLBACK": "secret-text"}, "environment variable INNGEST_SIGNING_KEY_FALLBACK "),
    ],
)
def test_a_key_that_is_not_hex_is_refused_when_the_client_is_made(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], variables: dict[str, str], source: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(errors.SigningKeyInvalidError, match=source) as caught:
        loosely.Inngest(app_id="app", **arguments)

    assert "secret-text" not in str(caught.value)


def test_a_key_that_is_not_hex_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        core.Inngest(app_id="app", signing_key="xyz")


def test_the_client_shows_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", K2)
    client = core.Inngest(
        app_id="app",
        api_base_url="http://a:1",
        app_version="v1",
        env="branch",
        event_api_base_url="http://e:1",
        event_key="ek",
        is_production=False,
        signing_key=K1,
    )

    shown = {
        name: getattr(client, name)
        for name in (
            "app_id",
            "app_version",
            "api_origin",
            "env",
            "event_api_origin",
            "event_key",
            "is_production",
            "signing_key",
            "signing_key_fallback",
        )
    }
    assert {
        "app_id": "app",
        "app_version": "v1",
        "api_origin": "http://a:1",
        "env": "branch",
        "event_api_origin": "http://e:1",
        "event_key": "ek",
        "is_production": False,
        "signing_key": K1,
        "signing_key_fallback": K2,
    } == shown


@pytest.mark.parametrize(
    "name", ["api_origin", "env", "event_key", "signing_key", "signing_key_fallback", "event_api_origin"]
)
def test_settings_cannot_be_changed_afterwards(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(core.Inngest(app_id="app", is_production=False), name, "other")


@pytest.mark.parametrize("app_id", ["", "  ", None, 5])
def test_an_app_needs_an_id(app_id: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="app_id"):
        core.Inngest(app_id=app_id, is_production=False)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 30.0), (1500, 1.5), (datetime.timedelta(seconds=3), 3.0), ("2m", 120.0)],
)
def test_the_request_timeout(given: Any, seconds: float) -> None:
    assert seconds == core.Inngest(app_id="app", is_production=False, request_timeout=given).request_timeout


def test_a_bad_request_timeout_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match="request_timeout"):
        core.Inngest(app_id="app", is_production=False, request_timeout="soon")


@pytest.mark.parametrize(("env", "warned"), [(None, True), ("feature", False)])
def test_a_branch_key_without_an_environment_name_is_warned_about(
    caplog: pytest.LogCaptureFixture, env: str | None, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        core.Inngest(app_id="app", signing_key="signkey-branch-abcd", env=env)

    assert warned == ("INNGEST_ENV" in caplog.text)
    assert "abcd" not in caplog.text


def test_production_without_a_signing_key_is_refused_by_serve_and_names_the_variable() -> None:
    with pytest.raises(errors.SigningKeyMissingError, match="INNGEST_SIGNING_KEY"):
        Handler(core.Inngest(app_id="app", is_production=True), [], framework="flask")


def test_dev_mode_needs_no_signing_key() -> None:
    assert Handler(core.Inngest(app_id="app", is_production=False), [], framework="flask") is not None


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        (None, None, "/api/inngest"),
        ("/mine", "/theirs", "/mine"),
        (None, "/theirs", "/theirs"),
        ("mine", None, "/mine"),
        (None, "", "/api/inngest"),
    ],
)
def test_the_mounted_path(
    monkeypatch: pytest.MonkeyPatch, argument: str | None, variable: str | None, expected: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("INNGEST_SERVE_PATH", variable)

    assert expected == resolve_path(argument)
