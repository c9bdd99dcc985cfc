"""Apps that are found by themselves, at the usual ports of the machine."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import Any

import httpx
import pytest

from stepserve_core.executor import discovery
from stepserve_core.executor.discovery import PATHS, PORTS, Discovery, usual_ports
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.raw_app import Call, Fn, RawApp, served

pytestmark = pytest.mark.anyio


def fine(_: Call) -> Any:
    return "fine"
    yield


class Site:
    """Something that listens; `app_at` is the path where an app answers, if there is one."""

    def __init__(self, app_at: str | None = None, status: int = 200, **headers: str) -> None:
        self._app_at = app_at
        self._status = status
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        sdk = [(b"x-inngest-sdk", b"raw:v1")] if scope["path"] == self._app_at else []
        await send({"type": "http.response.start", "status": self._status, "headers": [*self._headers, *sdk]})
        await send({"type": "http.response.body", "body": b"hello"})


def port_of(origin: str) -> int:
    return int(origin.rpartition(":")[2])


@pytest.mark.parametrize("path", PATHS)
async def test_an_app_is_found_at_each_of_the_usual_paths(path: str) -> None:
    site = Site(path, status=403)
    async with served(site) as origin:
        assert [f"{origin}{path}"] == await Discovery([port_of(origin)]).look()
    assert sorted(PATHS) == sorted(site.asked)


async def test_what_is_no_app_is_not_found_and_holds_nobody_up() -> None:
    """Nothing listens at the first port, the second one never answers, the third one sends us elsewhere."""
    elsewhere = Site(PATHS[0])
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        async with served(elsewhere) as target, served(Site(status=302, location=f"{target}{PATHS[0]}")) as site:
            ports = [closed.getsockname()[1], silent.getsockname()[1], port_of(site)]

            assert [] == await Discovery(ports, patience=0.2).look()
    assert [] == elsewhere.asked


@pytest.mark.parametrize(
    ("port", "extra"), [("", ()), ("8000", ()), ("12345", (12345,)), ("nonsense", ()), ("0", ()), ("99999", ())]
)
def test_the_port_of_the_environment_is_looked_at_too(port: str, extra: tuple[int, ...]) -> None:
    assert (*PORTS, *extra) == usual_ports({"PORT": port})


async def test_a_server_without_apps_finds_one_and_then_looks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    original = Discovery.look

    async def look(self: Discovery) -> list[str]:
        nonlocal looks
        looks += 1
        return await original(self)

    monkeypatch.setattr(Discovery, "look", look)
    app = RawApp([Fn("f", fine, [{"event": "test/x"}])])
    async with served(app) as origin:
        monkeypatch.setenv("PORT", origin.rpartition(":")[2])
        monkeypatch.setattr(discovery, "PORTS", ())
        config = ServerConfig(port=free_port(), discover=True, poll_interval=0.01)
        app.url, app.api = f"{origin}/api/inngest", f"http://127.0.0.1:{config.port}"
        async with serving(config) as running:
            while app.syncs < 5:
                await asyncio.sleep(0.005)

            assert ["app-f"] == [function.slug for function in running.executor.registry.active()]
            async with httpx.AsyncClient(base_url=running.url) as http:
                asked = await http.post("/v0/gql", json={"query": "{ apps { name autodiscovered } }"})
    assert [{"name": "app", "autodiscovered": True}] == asked.json()["data"]["apps"]
    assert 1 == looks


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
