"""Durable endpoints over real servers, against the real executor (protocol.md 13.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve import Inngest
from stepserve_core import _checkpoint_api
from stepserve_core.endpoint import LARGEST_BODY
from stepserve_core.executor.server import ServerConfig, serving
from tests.adapters.endpoint_apps import APPS, Shop, serving_app

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"

pytestmark = pytest.mark.anyio
every_app = pytest.mark.parametrize("app", APPS, ids="-".join)
every_framework = pytest.mark.parametrize("app", {name: (name, colour) for name, colour in APPS}.values(), ids="-".join)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


class Running:
    """An app and an executor."""

    def __init__(self, shop: Shop, http: httpx.AsyncClient, server: str, headers: dict[str, str]) -> None:
        self.shop, self.http, self.server, self.headers = shop, http, server, headers

    async def post(self, mode: str, body: str = "body", **options: Any) -> httpx.Response:
        headers = {"content-type": "text/plain", **options.pop("headers", {})}
        return await self.http.post(f"/checkout/{mode}", content=body, headers=headers, **options)

    async def statuses(self) -> list[str]:
        """Return the statuses of all runs, when they have ended."""
        async with httpx.AsyncClient(base_url=self.server, headers=self.headers) as api:
            while True:
                query = '{ runs(filter: {from: "2020-01-01T00:00:00Z"}, orderBy: []) { edges { node { status } } } }'
                answer = (await api.post("/v0/gql", json={"query": query})).json()
                found = [edge["node"]["status"] for edge in answer["data"]["runs"]["edges"]]
                if not {"RUNNING", "QUEUED"} & set(found):
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(app: tuple[str, str], shop: Shop | None = None, **settings: Any) -> AsyncGenerator[Running, None]:
    shop = shop or Shop()
    defaults: dict[str, Any] = {"port": 0, "poll": False, "retry_interval": 0.0}
    config = ServerConfig(**{**defaults, **settings})
    async with serving(config) as server:
        client = Inngest(
            app_id="shop",
            is_production=config.kind == "cloud",
            api_base_url=server.url,
            signing_key=config.signing_key,
        )
        headers = {"authorization": f"Bearer {KEY}"} if config.signing_key else {}
        with pytest.MonkeyPatch.context() as variables:
            variables.setenv("INNGEST_SERVE_ORIGIN", "http://127.0.0.1:9")
            async with (
                serving_app(*app, client, shop) as origin,
                httpx.AsyncClient(base_url=origin, timeout=20) as http,
            ):
                variables.setenv("INNGEST_SERVE_ORIGIN", origin)  # known only now
                yield Running(shop, http, server.url, headers)


@every_app
async def test_a_route_that_ends_in_time_answers_its_client(app: tuple[str, str]) -> None:
    async with running(app) as system:
        answer = await system.post("plain")
        statuses = await system.statuses()

    assert (200, {"steps": ["first body", "second"]}) == (answer.status_code, answer.json())
    assert (["COMPLETED"], ["first body", "second"]) == (statuses, system.shop.executed)


@every_app
@pytest.mark.parametrize("mode", ["retry", "sleep"])
async def test_a_route_that_has_to_wait_sends_its_client_to_the_answer(app: tuple[str, str], mode: str) -> None:
    keys: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["k"]}
    async with running(app, **keys) as system:
        first = await system.post(mode)
        answer = await system.http.get(first.headers["location"])
        statuses = await system.statuses()

    assert (302, b"") == (first.status_code, first.content)
    assert (200, {"steps": ["first body", "second"]}) == (answer.status_code, answer.json())
    retried = ["second"] if mode == "retry" else []
    assert (["COMPLETED"], ["first body", "second", *retried]) == (statuses, system.shop.executed)


@every_framework
async def test_errors_that_are_answers_are_answered(app: tuple[str, str]) -> None:
    async with running(app) as system:
        answer = await system.post("missing")

        assert (404, ["COMPLETED"]) == (answer.status_code, await system.statuses())


@every_framework
async def test_what_cannot_be_kept_is_refused(app: tuple[str, str]) -> None:
    async with running(app) as system:
        large = await system.post("plain", "x" * (LARGEST_BODY + 1))

    assert (413, True) == (large.status_code, "durable endpoint" in large.json()["error"])
    assert [] == system.shop.executed


@every_framework
async def test_an_answer_that_is_too_large_is_an_error(app: tuple[str, str]) -> None:
    async with running(app) as system:
        answer = await system.post("large")

        assert (500, ["FAILED"]) == (answer.status_code, await system.statuses())


@every_framework
async def test_without_a_server_the_request_fails_and_says_so(
    app: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoint_api, "ATTEMPTS", 1)
    shop = Shop()
    client = Inngest(app_id="shop", is_production=False, api_base_url="http://127.0.0.1:9")
    async with serving_app(*app, client, shop) as origin, httpx.AsyncClient(base_url=origin, timeout=20) as http:
        answer = await http.post("/checkout/plain", content="body", headers={"content-type": "text/plain"})

    assert (503, True, ["first body"]) == (
        answer.status_code,
        "cannot be saved" in answer.json()["error"],
        shop.executed,
    )
