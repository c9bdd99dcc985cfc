"""The dashboard's files, who may enter, and who may ask a development server at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.dashboard import assets
from stepserve_core.executor.dashboard.guard import host_name, is_local_host, is_local_origin
from stepserve_core.executor.dashboard.sessions import COOKIE, LIFE, Guesses, Sessions
from stepserve_core.executor.server import ServerConfig
from tests.executor.conftest import StartSystem

pytestmark = pytest.mark.anyio

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
TOKEN = "a-token-for-people"
STATIC = Path(assets.__file__).parent / "static"
PRODUCTION: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"], "dashboard_token": TOKEN}


async def test_pages_and_files_come_with_a_policy_that_lets_nothing_else_run(start: StartSystem) -> None:
    async with start() as system:
        page = await system.http.get("/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        script = await system.http.get("/dashboard/js/main.js")
        again = await system.http.get("/dashboard/js/main.js", headers={"if-none-match": script.headers["etag"]})
        outside = [
            await system.http.get(f"/dashboard/{path}") for path in ("../assets.py", "%2e%2e/assets.py", "js", "x")
        ]
    policy = page.headers["content-security-policy"]

    assert ("text/html; charset=utf-8", "text/javascript; charset=utf-8") == (
        page.headers["content-type"],
        script.headers["content-type"],
    )
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert policy == script.headers["content-security-policy"]
    assert "nosniff" == page.headers["x-content-type-options"]
    assert 304 == again.status_code
    assert [404] * 4 == [answer.status_code for answer in outside]


def test_the_document_names_every_file_and_holds_no_script_or_style() -> None:
    """Modules are fetched at once and not one after the other; what is not named there would be found late."""
    text = (STATIC / "index.html").read_text()
    modules = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")} - {
        "js/early_theme.js",
        "js/main.js",
    }
    styles = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.css")}

    assert modules == set(re.findall(r'rel="modulepreload" href="/dashboard/([^"]+)"', text))
    assert styles == set(re.findall(r'rel="stylesheet" href="/dashboard/([^"]+)"', text))
    assert [] == re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?://(?!www\.w3\.org)", text)


@pytest.mark.parametrize("path", sorted(STATIC.rglob("*.js")), ids=lambda path: path.name)
def test_no_module_turns_text_into_markup_or_is_long(path: Path) -> None:
    text = path.read_text()

    assert [] == re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", text
    )
    assert 250 > len(text.splitlines())


async def test_a_server_without_a_dashboard_has_none(start: StartSystem) -> None:
    async with start(dashboard=False) as system:
        answers = [
            await system.http.get(path) for path in ("/", "/runs", "/dashboard/js/main.js", "/dashboard/session")
        ]
        api = await system.http.get("/v2/runs")

    assert [404] * 4 == [answer.status_code for answer in answers]
    assert 200 == api.status_code


@pytest.mark.parametrize("secret", [KEY, TOKEN])
async def test_the_key_or_the_token_lets_people_in(start: StartSystem, secret: str) -> None:
    async with start(**PRODUCTION) as system:
        origin = str(system.http.base_url)
        async with httpx.AsyncClient(base_url=origin, headers={"origin": origin}) as visitor:
            before = [await visitor.get(path) for path in ("/v2/runs", "/v1/live", "/v1/overview")]
            entered = await visitor.post("/dashboard/session", json={"secret": secret})
            cookie = entered.headers["set-cookie"]
            runs = await visitor.get("/v2/runs")
            sent = await visitor.post("/v2/events", json={"name": "a", "data": {}})
            left = await visitor.delete("/dashboard/session")
            after = await visitor.get("/v2/runs")

    assert [401] * 3 == [answer.status_code for answer in before]
    assert (204, 200, 200, 204, 401) == tuple(one.status_code for one in (entered, runs, sent, left, after))
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert KEY not in cookie
    assert TOKEN not in cookie


async def test_cookies_are_secure_where_the_page_is(start: StartSystem) -> None:
    async with start(**PRODUCTION) as system:
        headers = {"origin": str(system.http.base_url), "x-forwarded-proto": "https"}
        entered = await system.http.post("/dashboard/session", json={"secret": KEY}, headers=headers)

    assert "Secure" in entered.headers["set-cookie"].split("; ")


async def test_sessions_do_not_reach_the_keys_and_change_nothing_for_other_pages(start: StartSystem) -> None:
    """Who has the token only must not learn the key; and no other page may use somebody's cookie."""
    async with start(**PRODUCTION) as system:
        origin = str(system.http.base_url)
        async with httpx.AsyncClient(base_url=origin, headers={"origin": origin}) as visitor:
            await visitor.post("/dashboard/session", json={"secret": TOKEN})
            keys = [await visitor.get(path) for path in ("/v2/keys/signing", "/v2/keys/events", "/api/v2/keys/signing")]
            registered = await visitor.post("/fn/register", json={"appname": "evil", "functions": []})
            foreign = [
                await visitor.post("/v2/events", json={"name": "a"}, headers={"origin": other})
                for other in ("https://evil.example", "null", "")
            ]
            with_wrong_bearer = await visitor.get("/v2/runs", headers={"authorization": "Bearer nonsense"})

    assert [401] * 3 == [answer.status_code for answer in keys]
    assert 401 == registered.status_code
    assert [401] * 3 == [answer.status_code for answer in foreign]
    assert 401 == with_wrong_bearer.status_code


async def test_guesses_are_bounded(start: StartSystem) -> None:
    """Then the right key does not help either, until a minute has passed."""
    clock = VirtualClock()
    async with start(clock=clock, **PRODUCTION) as system:
        headers = {"origin": str(system.http.base_url)}

        async def attempt(secret: object) -> int:
            answer = await system.http.post("/dashboard/session", json={"secret": secret}, headers=headers)
            return answer.status_code

        wrong = [await attempt(f"guess {number}") for number in range(11)]
        locked = await attempt(KEY)
        clock.advance(61)
        right = await attempt(KEY)
        unreadable = await attempt(5)

    assert [401] * 10 + [429] == wrong
    assert (429, 204, 400) == (locked, right, unreadable)


async def test_logging_in_is_for_our_own_pages(start: StartSystem) -> None:
    async with start(**PRODUCTION) as system:
        foreign = await system.http.post(
            "/dashboard/session", json={"secret": KEY}, headers={"origin": "https://evil.example"}
        )

    assert 403 == foreign.status_code


def test_sessions_end_and_are_bound_to_what_let_somebody_in() -> None:
    sessions = Sessions([KEY], TOKEN)
    cookie = sessions.issue(1000.0)
    moment, rest = cookie.split(".", 1)

    assert sessions.is_valid(cookie, 1000.0 + LIFE - 1)
    assert not sessions.is_valid(cookie, 1000.0 + LIFE)
    assert not sessions.is_valid(f"{int(moment) + 1}.{rest}", 1000.0)
    assert not Sessions([KEY], "another token for people").is_valid(cookie, 1000.0)
    assert not any(sessions.is_valid(text, 1000.0) for text in ("", ".", "1.2.3", "9" * 30, "ü.ü.ü"))
    assert Sessions([KEY], TOKEN).is_valid(cookie, 1000.0)


def test_guesses_from_everywhere_are_bounded_too() -> None:
    guesses = Guesses()
    for number in range(100):
        guesses.note(f"10.0.0.{number}", 5.0)

    assert guesses.wait("10.1.1.1", 6.0) > 0
    assert 0 == guesses.wait("10.1.1.1", 66.0)


def test_a_short_token_is_refused() -> None:
    settings: dict[str, Any] = {**PRODUCTION, "dashboard_token": "short"}
    with pytest.raises(ConfigurationError, match="--dashboard-token must have at least 16 characters"):
        ServerConfig(**settings).check()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8288", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8288", True),
        ("192.168.1.5", True),
        ("shop.localhost", True),
        ("host.docker.internal:8288", True),
        ("stepserve:8288", True),
        ("named.example", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8288", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_names_of_this_machine_are_told_from_others(host: str, expected: bool) -> None:
    assert expected is is_local_host(host_name(host), ("named.example",))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:3000", True),
        ("http://10.0.0.1:8288", True),
        ("http://10.0.0.2:8288", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[::1", False),
    ],
)
def test_pages_of_this_machine_are_told_from_others(origin: str, expected: bool) -> None:
    assert expected is is_local_origin(origin, "10.0.0.1:8288", ())


async def test_a_development_server_answers_neither_foreign_names_nor_foreign_pages(start: StartSystem) -> None:
    async with start(allowed_hosts=["shop.example"]) as system:
        asked: list[tuple[str, dict[str, str]]] = [
            ("/v2/runs", {"host": "evil.example"}),
            ("/", {"host": "evil.example:8288"}),
            ("/v2/runs", {"origin": "https://evil.example"}),
            ("/v2/runs", {"host": "shop.example"}),
            ("/v2/runs", {"origin": "http://localhost:3000"}),
        ]
        answers = [await system.http.get(path, headers=headers) for path, headers in asked]

    assert [403, 403, 403, 200, 200] == [answer.status_code for answer in answers]
    assert "--allowed-host" in answers[0].json()["error"]


async def test_a_server_with_keys_answers_under_every_name(start: StartSystem) -> None:
    async with start(**PRODUCTION) as system:
        answer = await system.http.get("/v2/runs", headers={"host": "shop.example", "origin": "https://shop.example"})

    assert 200 == answer.status_code
    assert COOKIE not in answer.cookies


async def test_sockets_of_foreign_pages_are_refused_too(start: StartSystem) -> None:
    async with start() as system:
        headers = {
            "origin": "https://evil.example",
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        token = (await system.http.post("/v1/realtime/token", json=[{"channel": "a", "name": "b"}])).json()["jwt"]
        foreign = await system.http.get("/v1/realtime/connect", params={"token": token}, headers=headers)

    assert 403 == foreign.status_code
