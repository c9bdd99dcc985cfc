"""`stepserve doctor` names what is wrong, and what to change."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core._signature import hash_signing_key
from stepserve_core.cli.doctor.app_checks import check_app
from stepserve_core.cli.doctor.findings import Finding, Level, check_clock, check_environment
from stepserve_core.cli.doctor.looks import Answer, AppLook, ServerLook, Silence, clock_difference
from stepserve_core.cli.doctor.server_checks import check_server
from tests.cli.command import child, environment, run_stepserve, running

KEY = "signkey-test-abcd"
URL = "http://127.0.0.1:8000/api/inngest"
SERVER = "http://127.0.0.1:8288"
HEALTHY = Answer(200, {"x-inngest-server-kind": "cloud"})
SDK = {"x-inngest-sdk": "inngest-py:v1", "x-inngest-framework": "flask"}
INSPECTED: dict[str, Any] = {
    "app_id": "shop",
    "api_origin": "http://localhost:8288/",
    "authentication_succeeded": True,
    "framework": "flask",
    "function_count": 2,
    "has_event_key": True,
    "mode": "cloud",
    "signing_key_hash": hash_signing_key(KEY),
}
LISTED: dict[str, Any] = {"url": URL, "functions": [{"id": "shop-a"}, {"id": "shop-b"}]}
KNOWN: dict[str, Any] = {"id": "1", "name": "shop", "url": "http://localhost:8000/api/inngest", "error": None}


def server(slugs: frozenset[str] = frozenset({"shop-a", "shop-b"}), **app: Any) -> ServerLook:
    """Return a server that knows the shop with these functions."""
    return ServerLook(SERVER, HEALTHY, Answer(200, {}), ({**KNOWN, **app},), {"1": slugs})


def shop(inspected: Mapping[str, Any] = INSPECTED, listed: Mapping[str, Any] = LISTED) -> AppLook:
    """Return an app that introduced itself so, and lists this."""
    return AppLook(URL, Answer(200, SDK, inspected), Answer(200, SDK, listed))


def problems(look: AppLook, at: ServerLook | None = None, key: str | None = KEY) -> list[tuple[str, str]]:
    """Return what is not well with an app: texts and remedies."""
    findings = check_app(look, at or server(), key)
    return [(finding.text, finding.remedy) for finding in findings if finding.level is not Level.OK]


def test_an_app_that_is_well_has_no_findings_but_good_ones() -> None:
    """Who it is, and that what it serves is registered."""
    assert [
        Finding(Level.OK, f"app {URL}", "shop: 2 functions on flask, inngest-py:v1, in production mode"),
        Finding(Level.OK, f"app {URL}", "what it serves is registered"),
    ] == list(check_app(shop(), server(), KEY))


@pytest.mark.parametrize(
    ("seen", "text", "remedy"),
    [
        (Silence("connection refused"), "does not answer: connection refused", "In a container, 127.0.0.1"),
        (Silence("[SSL: WRONG_VERSION_NUMBER] wrong version number"), "does not answer", "write http://"),
        (Silence("[SSL: CERTIFICATE_VERIFY_FAILED] expired"), "does not answer", "renew it"),
        (Silence("[Errno -2] Name or service not known"), "does not answer", "check it, or look whether DNS works"),
        (Silence("Server disconnected without sending a response."), "does not answer", "write https://"),
        (Silence("timed out"), "does not answer", "A firewall may drop"),
        (Answer(200, {}, {"function_count": 2}), "X-Inngest-* headers of its answer are missing", "Let the proxy"),
        (Answer(301, {"location": "/x/"}), "redirects to /x/", "Register the URL that it redirects to"),
        (Answer(404, {}), "serves nothing at this path (404)", "Check the path"),
        (Answer(403, {}), "something before the app refuses the request (403)", "without login or CSRF token"),
        (Answer(502, {}), "a proxy before the app answers 502", "See whether the app runs"),
        (Answer(200, {}), "what answers there (200) does not serve functions", "a catch-all page may answer"),
        (
            Answer(401, {"x-inngest-sdk-handled": "true"}),
            "its signing key is another one",
            "If they have it: does a proxy remove the header X-Inngest-Signature",
        ),
        (Answer(403, SDK), "is in another mode than the server", "without INNGEST_DEV, with INNGEST_SIGNING_KEY"),
        (Answer(500, SDK), "answers 500", "Its own log says why."),
    ],
)
def test_an_app_that_does_not_introduce_itself(seen: Answer | Silence, text: str, remedy: str) -> None:
    """Is told apart by how it refuses; nothing else is said of it."""
    ((said, advised),) = problems(AppLook(URL, seen))

    assert text in said
    assert remedy in advised


@pytest.mark.parametrize(
    ("look", "at", "text", "remedy"),
    [
        (shop({**INSPECTED, "function_count": 0}), None, "serves no functions", "Pass the functions to serve()."),
        (shop({**INSPECTED, "has_event_key": False}), None, "has no event key", "Set INNGEST_EVENT_KEY"),
        (shop({**INSPECTED, "signing_key_hash": "00"}), None, "as its fallback only", "give the app this key"),
        (
            shop({**INSPECTED, "api_origin": "https://api.inngest.com/"}),
            None,
            "works with another server: https://api.inngest.com/",
            f"Set INNGEST_BASE_URL={SERVER}",
        ),
        (
            shop(listed={**LISTED, "url": "http://10.0.0.7/api/inngest"}),
            None,
            "calls itself http://10.0.0.7/api/inngest",
            "X-Forwarded-Proto",
        ),
        (shop(), ServerLook(SERVER, HEALTHY, Answer(200, {}), (), {}), "is not registered", "stepserve apps sync"),
        (
            shop(),
            server(error="unauthorized"),
            "the server could not sync it: unauthorized",
            "Does the app have the same signing key as this server? Sync it: stepserve apps sync",
        ),
        (
            shop(),
            server(url="https://shop.test/api/inngest"),
            "the server has an app of this id at another URL: https://shop.test/api/inngest",
            "If that is another app, give one of them another app_id",
        ),
        (shop(), server(frozenset({"shop-a"})), "functions that are not registered: shop-b", "stepserve apps sync"),
        (
            shop(),
            server(frozenset({"shop-a", "shop-b", "shop-c"})),
            "registered that it does not serve: shop-c",
            "stepserve apps sync",
        ),
        (AppLook(URL, Answer(200, SDK, INSPECTED), Answer(500, SDK)), None, "does not list its functions", "own log"),
    ],
)  # fmt: skip
def test_an_app_that_is_set_up_wrongly(look: AppLook, at: ServerLook | None, text: str, remedy: str) -> None:
    """Keys, the server it works with, its URL, and what the server knows of it."""
    ((said, advised),) = problems(look, at)

    assert text in said
    assert remedy in advised


@pytest.mark.parametrize(
    ("slugs", "said"),
    [
        ({"shop-a", "shop-b", "shop-b-failure", "shop-a-cancel"}, []),
        ({"shop-a"}, ["serves 2 functions, of which the server has 1"]),
    ],
)
def test_in_development_functions_are_counted(slugs: set[str], said: list[str]) -> None:
    """An app does not name them then; handlers of failures and cancellations are not counted."""
    look = AppLook(URL, Answer(200, SDK, {"mode": "dev", "function_count": 2}))

    assert said == [text for text, _ in problems(look, server(frozenset(slugs)), None)]


def test_an_app_in_production_mode_is_told_apart_from_a_server_for_development() -> None:
    """Without a key nobody could say more; the kind of the server does."""
    dev = ServerLook(SERVER, Answer(200, {"x-inngest-server-kind": "dev"}), Answer(200, {}), (), {})
    ((said, advised),) = problems(AppLook(URL, Answer(401, {"x-inngest-sdk-handled": "true"})), dev, None)

    assert "is in production mode, and the server is one for development" == said
    assert "start the app with INNGEST_DEV=1" in advised


def test_an_app_that_registers_elsewhere_is_told_where_to() -> None:
    """In development mode it does not say which server it knows."""
    look = AppLook(URL, Answer(200, SDK, {"mode": "dev", "function_count": 2}))
    ((said, advised),) = problems(look, ServerLook(SERVER, HEALTHY, Answer(200, {}), (), {}), None)

    assert "is not registered with the server" == said
    assert f"its INNGEST_DEV must be {SERVER}" in advised


def test_an_app_in_development_mode_should_not_be_reached_by_others() -> None:
    """It checks no signatures."""
    look = AppLook("http://shop.test/api/inngest", Answer(200, SDK, {"mode": "dev", "function_count": 2}))

    assert "is in development mode: it takes orders from everybody" in dict(problems(look, key=None))


@pytest.mark.parametrize(
    ("look", "has_key", "level", "text"),
    [
        (ServerLook(SERVER, Silence("refused")), True, Level.PROBLEM, "does not answer: refused"),
        (ServerLook(SERVER, Answer(200, {})), True, Level.PROBLEM, "not a server of functions (GET /health: 200)"),
        (ServerLook(SERVER, HEALTHY, Answer(401, {})), True, Level.PROBLEM, "refused the signing key"),
        (ServerLook(SERVER, HEALTHY, Answer(401, {})), False, Level.PROBLEM, "wants a signing key"),
        (ServerLook(SERVER, HEALTHY, Answer(404, {})), True, Level.WARNING, "does not tell which apps it knows"),
        (ServerLook(SERVER, HEALTHY), True, Level.WARNING, "did not say in time"),
        (server(), True, Level.OK, "it is for production, with keys, and knows 1 app"),
    ],
)
def test_servers(look: ServerLook, has_key: bool, level: Level, text: str) -> None:
    """One finding each."""
    (finding,) = check_server(look, has_key=has_key)

    assert (level, True) == (finding.level, text in finding.text)


@pytest.mark.parametrize(
    ("variables", "level", "text"),
    [
        ({"INNGEST_DEV": "1"}, Level.OK, "apps started here are in development mode"),
        ({"INNGEST_SIGNING_KEY": KEY, "INNGEST_EVENT_KEY": "a"}, Level.OK, "in production mode"),
        ({"INNGEST_SIGNING_KEY": KEY}, Level.WARNING, "there is no event key"),
        ({"INNGEST_DEV": "1", "INNGEST_SIGNING_KEY": KEY}, Level.WARNING, "do not check signatures"),
        ({}, Level.WARNING, "have no signing key: they refuse to serve"),
        ({"INNGEST_SIGNING_KEY": "secret words"}, Level.PROBLEM, "INNGEST_SIGNING_KEY is not a signing key"),
        ({"INNGEST_EVENT_KEY": "signkey-prod-secret words"}, Level.PROBLEM, "INNGEST_EVENT_KEY holds a signing key"),
        ({"INNGEST_DEV": "1", "INNGEST_SIGNIG_KEY": KEY}, Level.WARNING, "INNGEST_SIGNIG_KEY is no setting"),
        ({"INNGEST_DEV": "1", "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY": "1"}, Level.OK, "in development mode"),
        ({"INNGEST_DEV": "1", "INNGEST_BASE_URL": "nowhere"}, Level.PROBLEM, "INNGEST_BASE_URL: invalid URL 'nowhere'"),
    ],
)
def test_environments(variables: dict[str, str], level: Level, text: str) -> None:
    """Values of keys are never told."""
    findings = list(check_environment(variables))

    assert any(finding.level is level and text in finding.text for finding in findings)
    assert not any("secret words" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("date", "before", "after", "ahead"),
    [
        ("Thu, 01 Jan 1970 00:16:40 GMT", 1000.2, 1000.3, 0.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 1001.9, 1003.0, 0.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 902.0, 903.0, 97.0),
        ("Thu, 01 Jan 1970 00:16:40 GMT", 1102.0, 1103.0, -100.0),
        ("yesterday", 1000.0, 1001.0, None),
        (None, 1000.0, 1001.0, None),
    ],
)
def test_clocks_are_compared_as_far_as_whole_seconds_tell(
    date: str | None, before: float, after: float, ahead: float | None
) -> None:
    """A header may be a second old."""
    assert ahead == clock_difference(date, before, after)


@pytest.mark.parametrize(
    ("ahead", "levels"),
    [(None, []), (4.0, []), (-30.0, [Level.WARNING]), (90.0, [Level.PROBLEM]), (-400.0, [Level.PROBLEM])],
)
def test_a_clock_that_is_off_is_told(ahead: float | None, levels: list[Level]) -> None:
    """A minute is too much: signatures are refused then."""
    assert levels == [finding.level for finding in check_clock("server", ahead)]


@contextlib.contextmanager
def serving(**variables: str) -> Generator[str]:
    """Run the shop and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "tests.cli.shop:app"]
    with child(app, environment(**variables), Path(__file__).parents[2]):
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/api/inngest")
                break
        yield f"http://127.0.0.1:{port}/api/inngest"


def test_in_development_all_is_well_after_a_sync() -> None:
    """Before it, the doctor says which command syncs; it looks at every registered app by itself."""
    with running("dev", "--port", "0") as server, serving(INNGEST_DEV="1", INNGEST_BASE_URL=server.url) as url:
        variables = {"INNGEST_DEV": "1", "INNGEST_BASE_URL": server.url}
        before = run_stepserve("doctor", url, variables=variables)
        run_stepserve("apps", "sync", url, variables=variables)
        after = run_stepserve("doctor", variables=variables)

    assert (1, True) == (before.returncode, f"Sync it: stepserve apps sync {url}" in before.stdout)
    assert (0, True) == (after.returncode, "what it serves is registered" in after.stdout), after.stdout
    assert "No problems found." in after.stdout


def test_in_production_functions_are_compared_by_name(tmp_path: Path) -> None:
    """With the key; with another one, both refuse. No key is printed."""
    options = ("--signing-key", KEY, "--event-key", "event-secret", "--db", str(tmp_path / "runs.db"))
    with running("start", "--port", "0", *options) as server:
        keys = {"INNGEST_SIGNING_KEY": KEY, "INNGEST_EVENT_KEY": "event-secret"}
        with serving(PRODUCTION="1", INNGEST_BASE_URL=server.url, **keys) as url:
            variables = {**keys, "INNGEST_BASE_URL": server.url}
            run_stepserve("apps", "sync", url, variables=variables)
            well = run_stepserve("doctor", "--json", variables=variables)
            other = run_stepserve("doctor", url, variables={**variables, "INNGEST_SIGNING_KEY": "signkey-test-beef"})

    findings = json.loads(well.stdout)
    assert (0, {"ok"}) == (well.returncode, {finding["level"] for finding in findings}), findings
    assert "what it serves is registered" == findings[-1]["text"]
    assert 1 == other.returncode
    assert "refused the signing key" in other.stdout
    assert "refuses the signature: its signing key is another one" in other.stdout
    assert not any(secret in well.stdout + other.stdout for secret in ("abcd", "beef", "event-secret"))
