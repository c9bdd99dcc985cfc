"""Registrations: what is checked, what is kept, what changes; and the sync of apps by URL."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.apps import error_of
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RawApp, served

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def fine(_: Call) -> Steps:
    return "fine"
    yield


async def test_registering_the_same_again_changes_nothing_and_something_else_does(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        same = await system.http.post("/fn/register", json=system.app.registration())
        system.app.functions[0].retries = 1
        changed = await system.http.post("/fn/register", json=system.app.registration())

        assert (True, False) == (same.json()["ok"], same.json()["modified"])
        assert (True, True) == (changed.json()["ok"], changed.json()["modified"])
        assert same.json()["app_id"] == changed.json()["app_id"]


async def test_a_function_that_is_no_longer_registered_starts_no_runs(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X), Fn("g", fine, ON_X)) as system:
        system.app.functions.pop()
        await system.http.post("/fn/register", json=system.app.registration())

        assert ("Completed", "fine") == await system.outcome(await system.send("test/x"))
        assert ["app-f"] == [call.function for call in system.app.calls]


async def test_every_problem_is_reported_and_nothing_is_stored(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        bad = Fn(
            "bad", fine, [{"event": ""}, {"cron": "@daily"}], options={"cancel": [{"event": "x", "timeout": "1y"}]}
        )
        good, system.app.functions = (
            system.app.functions,
            [bad, Fn("bad", fine, [{"event": "y", "expression": "a =="}])],
        )
        answer = await system.http.post("/fn/register", json=system.app.registration())
        body = answer.json()

        assert (400, "At least one function is invalid") == (answer.status_code, body["error"])
        for fragment in ("event is empty", "cron", "cancel[0].timeout", "expression", "the id is used twice"):
            assert any(fragment in problem for problem in body["data"]), fragment
        system.app.functions = good
        assert ("Completed", "fine") == await system.outcome(await system.send("test/x"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"nonsense", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{}", "App ID required"),
        (b'{"appName":"a","functions":{}}', "functions must be a list"),
    ],
)
async def test_a_registration_that_cannot_be_read_is_refused(start: StartSystem, body: bytes, error: str) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        answer = await system.http.post("/fn/register", content=body)

        assert 400 == answer.status_code
        assert error in answer.json()["error"]


async def test_an_app_that_expects_another_kind_of_server_is_refused(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        headers = {"x-inngest-expected-server-kind": "cloud"}
        answer = await system.http.post("/fn/register", json=system.app.registration(), headers=headers)

        assert (400, "Expected server kind cloud, got dev") == (answer.status_code, answer.json()["error"])


async def test_an_app_given_by_url_is_synced_and_a_failed_sync_is_repeated(tmp_path: Path) -> None:
    app = RawApp([Fn("f", fine, ON_X)])
    asked = asyncio.Event()
    refuse = True

    async def answer(request: Any) -> Response:
        if request.method == "PUT" and refuse:
            asked.set()
            return Response(401, {}, b"")
        return await RawApp.ahandle(app, request)

    app.ahandle = answer  # type: ignore[method-assign]  # the app refuses at first
    async with served(app) as origin:
        app.url = f"{origin}/api/inngest"
        config = ServerConfig(
            port=0, sdk_urls=[app.url], database=str(tmp_path / "x.db"), poll=False, poll_interval=0.05
        )
        async with serving(config) as server:
            app.api = server.url
            await asked.wait()
            while not (apps := await server.executor.read(lambda tables: tables.apps.all())):
                await asyncio.sleep(0.01)
            refuse = False

            assert [("", "unauthorized")] == [(entry.name, entry.error) for entry in apps]
            while [("app", None)] != [
                (entry.name, entry.error) for entry in await server.executor.read(lambda tables: tables.apps.all())
            ]:
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient(base_url=server.url) as http:
                ids = (await http.post("/e/key", json={"name": "test/x"})).json()["ids"]
                await server.executor.loop.idle()
                (run,) = (await http.get(f"/v1/events/{ids[0]}/runs")).json()["data"]

            assert "fine" == run["output"]


SDK = {"x-inngest-sdk": "raw:v1"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(200, SDK, b""), None),
        (Reply(200, {}, b"<html>"), "not_sdk"),
        (Reply(401, SDK, b""), "unauthorized"),
        (Reply(403, SDK, b""), "forbidden"),
        (Reply(404, SDK, b""), "url_not_found"),
        (Reply(500, SDK, b""), "internal_server_error"),
        (Reply(500, SDK, b'{"code":"registration_failed","message":"nobody"}'), "registration_failed"),
        (Reply(400, SDK, b'{"message":"no_functions"}'), "no_functions"),
        (Reply(400, SDK, b'{"code":"server_kind_mismatch","message":"wrong kind"}'), "wrong kind"),
        (Reply(400, SDK, b"nonsense"), "bad_request"),
        (Reply(503, SDK, b""), "http_503"),
    ],
)
async def test_the_answer_to_a_sync_gives_this_error(answer: Reply, error: str | None) -> None:
    assert error == error_of(answer)


async def test_an_app_that_does_not_run_is_unreachable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = ServerConfig(port=0, sdk_urls=["http://127.0.0.1:9/api/inngest"], database=str(tmp_path / "x.db"))
    async with serving(config) as server:
        while not (apps := await server.executor.read(lambda tables: tables.apps.all())):
            await asyncio.sleep(0.01)

        assert ["unreachable"] == [app.error for app in apps]
    # What went wrong stands in the log: it may be a certificate, or redirects without end.
    assert "(unreachable): does the app run, and does it listen at this address? (http://127.0.0.1:9" in caplog.text
