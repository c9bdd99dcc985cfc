"""URLs of apps: which of them are the same, and what follows from that (executor.md 1.4)."""

from __future__ import annotations

import pytest

from stepserve_core.executor.addresses import normalize_url
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import RawApp

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://0.0.0.0:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://localhost:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://127.0.0.1/x", "http://127.0.0.1/x"),
        ("http://127.0.0.1:80/x", "http://127.0.0.1/x"),
        ("https://app.example:443/x", "https://app.example/x"),
        ("https://app.example:80/x", "https://app.example:80/x"),
        ("https://APP.example/X", "https://app.example/X"),
        ("https://a.example/x?b=2&deployId=5&a=1&probe=trust", "https://a.example/x?a=1&b=2"),
        ("https://a.example/x?a=&b=%20c", "https://a.example/x?a=&b=+c"),
        ("http://user:word@127.0.0.1:3000/x", "http://user:word@localhost:3000/x"),
        ("http://[::1]:3000/x", "http://[::1]:3000/x"),
        ("http://a:99999/x", "http://a:99999/x"),
        ("http://[broken/x", "http://[broken/x"),
        ("", ""),
    ],
)
def test_a_url_has_one_spelling(url: str, expected: str) -> None:
    assert expected == normalize_url(url)
    assert expected == normalize_url(expected)


async def test_an_app_is_removed_by_another_spelling_of_its_url(start: StartSystem) -> None:
    async with start() as system:
        other = f"{system.app.url.replace('127.0.0.1', 'localhost')}?deployId=1"
        removed = [await system.http.delete("/fn/remove", params={"url": other}) for _ in range(2)]

    assert [200, 404] == [answer.status_code for answer in removed]


async def test_an_app_takes_the_place_of_what_was_noted_under_another_spelling(start: StartSystem) -> None:
    async with start() as system:
        urls = ["http://127.0.0.1:9/api/inngest", "http://localhost:9/api/inngest?probe=trust"]
        noted = [(await system.http.post("/v2/apps", json={"url": url})).json()["data"] for url in urls]
        late = RawApp([], name="late", url="http://0.0.0.0:9/api/inngest")
        await system.http.post("/fn/register", json=late.registration())
        known = [(app["name"], app["url"]) for app in (await system.http.get("/v2/apps")).json()["data"]]

    assert [("", urls[0], "unreachable")] * 2 == [(one["name"], one["url"], one["error"]) for one in noted]
    assert [("app", system.app.url), ("late", late.url)] == known
