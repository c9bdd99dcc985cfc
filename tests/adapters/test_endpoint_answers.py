"""Durable endpoints answer after a redirect what they answer without, and are asked the same again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest

from stepserve import Inngest
from stepserve_core.executor.server import ServerConfig, serving
from tests.adapters import endpoint_answers as apps
from tests.adapters.endpoint_answers_tornado import tornado_app
from tests.adapters.endpoint_apps import served_as

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
FRAMEWORKS = ["flask", "fastapi", "starlette", "django", "tornado"]
COMMON = ["bytes", "text", "json", "status", "redirect", "empty"]
SPECIAL = {
    "flask": ["cookies", "missing", "handled", "template", "file", "stream", "generator"],
    "starlette": ["cookies", "missing", "handled", "file", "stream", "async-stream"],
    "fastapi": ["missing", "handled", "stream", "model"],
    "django": ["cookies", "missing", "handled", "template", "file"],
    "tornado": ["cookies", "missing", "handled", "template", "stream"],
}
ANSWERS = [
    *(("tornado", "async", kind) for kind in COMMON + SPECIAL["tornado"]),
    *((name, "sync", kind) for name in FRAMEWORKS[:-1] for kind in COMMON),
    *((name, colour, kind) for name in FRAMEWORKS[:-1] for kind in SPECIAL[name] for colour in ("sync", "async")),
    ("django", "sync", "stream"),
    ("django", "async", "async-stream"),
]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Async tests run on asyncio, those of the module on one loop."""
    return "asyncio"


class Site:
    """An app."""

    def __init__(self, http: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
        self.http, self.api = http, api

    async def post(self, path: str, query: str = "", **options: Any) -> tuple[httpx.Response, httpx.Response]:
        """Return what a route answers at once, and what after it had to wait."""
        direct = await self.http.post(f"{path}?{query}", **options)
        first = await self.http.post(f"{path}?{query}&wait=1", **options)

        assert (302, b"") == (first.status_code, first.content), first.text
        return direct, await self.http.get(first.headers["location"])


@pytest.fixture(scope="module")
def module_patch() -> Generator[pytest.MonkeyPatch]:
    """Patches for a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", params=FRAMEWORKS)
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncGenerator[Site, None]:
    framework: str = request.param
    pages = tmp_path_factory.mktemp("pages")
    config = ServerConfig(port=0, poll=False, retry_interval=0.0, kind="cloud", signing_key=KEY, event_keys=["k"])
    async with serving(config) as server:
        patch = request.getfixturevalue("module_patch")
        patch.setenv("INNGEST_SERVE_ORIGIN", "http://known.soon")
        client = Inngest(app_id="answers", is_production=True, api_base_url=server.url, signing_key=KEY)
        app = tornado_app(client, pages) if framework == "tornado" else getattr(apps, f"{framework}_app")(client)
        api = httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {KEY}"})
        async with (
            served_as({"flask": "wsgi", "tornado": "tornado"}.get(framework, "asgi"), app) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as http,
            api,
        ):
            patch.setenv("INNGEST_SERVE_ORIGIN", url)
            yield Site(http, api)


def parts_of(answer: httpx.Response) -> tuple[Any, ...]:
    headers = [answer.headers.get(name) for name in ("content-type", "location", "x-made", "content-disposition")]
    return answer.status_code, headers, sorted(answer.headers.get_list("set-cookie")), answer.content


@pytest.mark.parametrize(("site", "colour", "kind"), ANSWERS, indirect=["site"])
async def test_an_answer_after_a_redirect_is_the_answer(site: Site, colour: str, kind: str) -> None:
    direct, redirected = await site.post(f"/{colour}/answer/{kind}")

    assert parts_of(direct) == parts_of(redirected)
    assert direct.status_code < 500


ECHOES = [("flask", "sync"), ("django", "sync"), *((name, "async") for name in FRAMEWORKS)]
WORD = "caf\u00e9 100%"
UPLOAD: dict[str, Any] = {
    "data": {"name": "\u00c5sa"},
    "files": {"file": ("a b.txt", b"one\r\ntwo\r\n")},
    "headers": {"content-type": "multipart/form-data; boundary=0123456789"},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "json": {"json": {"a": "\u00e9"}},
    "nothing": {},
    "form": {"data": {"name": "a&b=\u00e9 +"}},
    "upload": UPLOAD,
}


@pytest.mark.parametrize("options", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(("site", "colour"), ECHOES, indirect=["site"])
async def test_a_request_comes_again_as_it_was(site: Site, colour: str, options: dict[str, Any]) -> None:
    direct, redirected = await site.post(f"/{colour}/echo/caf%C3%A9%20100%25", "a=1&a=%26&b=%C3%A9+%2B", **options)

    assert (200, direct.json()) == (redirected.status_code, redirected.json())
    assert WORD == direct.json()["item"]
    assert [["a", "1"], ["a", "&"], ["b", "\u00e9 +"]] == direct.json()["query"]


@pytest.mark.parametrize("options", [REQUESTS["form"], UPLOAD], ids=["form", "upload"])
@pytest.mark.parametrize("site", ["fastapi"], indirect=True)
async def test_forms_that_fastapi_has_parsed_come_again(site: Site, options: dict[str, Any]) -> None:
    direct, redirected = await site.post("/sync/echo/form", **options)

    assert (200, direct.json()) == (redirected.status_code, redirected.json())
    assert options["data"] == direct.json()["form"]
    assert ("file" in direct.json()["files"]) == ("files" in options)


@pytest.mark.parametrize("site", ["fastapi"], indirect=True)
async def test_what_a_route_of_fastapi_says_of_its_answers_holds_after_a_redirect(site: Site) -> None:
    _, made = await site.post("/sync/answer/model")
    _, plain = await site.post("/async/answer/model")

    assert (201, {"called": "A"}, "yes") == (made.status_code, made.json(), made.headers["x-made"])
    assert ["a=1; Path=/; SameSite=lax"] == made.headers.get_list("set-cookie")
    assert (202, "plainly") == (plain.status_code, plain.text)


@pytest.mark.parametrize("site", ["fastapi"], indirect=True)
async def test_fastapi_serves_endpoints_of_starlette_too(site: Site) -> None:
    direct, redirected = await site.post("/async/starlette")

    assert (202, "plainly") == (redirected.status_code, redirected.text)
    assert parts_of(direct) == parts_of(redirected)
