"""Durable endpoints as an app without SDK has them: runs that the app begins, and that go on here (executor.md 8)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve_core._protocol import Request, Response
from stepserve_core._signature import verify
from stepserve_core.executor import ids
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.endpoints import TAKEOVER
from stepserve_core.executor.server import ServerConfig, serving
from tests.executor.raw_app import SDK_HEADERS, RawApp, hash_id, served
from tests.executor.system import System

pytestmark = pytest.mark.anyio
KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"


class Site(RawApp):
    """An app that answers each request that comes back to it with the next of its answers."""

    def __init__(self, *answers: Any) -> None:
        super().__init__([])
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def ahandle(self, request: Request) -> Response:
        """Answer a request that the executor makes again."""
        self.requests.append(request)
        ops = self.answers.pop(0)
        return Response(206 if isinstance(ops, list) else 500, SDK_HEADERS, json.dumps(ops).encode())


def op(kind: str, step_id: str, **fields: Any) -> dict[str, Any]:
    return {"op": kind, "id": hash_id(step_id), "name": step_id, "displayName": step_id, **fields}


def complete(status: int = 200, body: bytes = b"done", kind: str = "SyncRunComplete") -> dict[str, Any]:
    answer = {"status": status, "headers": {"x-mine": "yes"}, "body": base64.b64encode(body).decode()}
    return op(kind, "complete", data={"data": answer} if kind == "SyncRunComplete" else answer)


class Begun:
    """A run that an app has begun."""

    def __init__(self, system: System, origin: str, site: Site) -> None:
        self.system, self.site = system, site
        self.run_id = ids.new_id(time.time())
        self.domain = origin

    async def begin(self, *steps: dict[str, Any], **fields: Any) -> httpx.Response:
        data = {
            "domain": self.domain,
            "method": "POST",
            "path": "/checkout",
            "query_params": "a=1",
            "content_type": "text/plain",
            "body": base64.b64encode(b"\xc3\xa9 body").decode(),
        }
        body = {"run_id": self.run_id, "event": {"name": "inngest/http.request", "data": data}, "steps": steps}
        return await self.system.http.post("/v1/checkpoint", json={**body, **fields})

    async def save(self, *steps: dict[str, Any]) -> httpx.Response:
        return await self.system.http.post(f"/v1/checkpoint/{self.run_id}/steps", json={"steps": steps})

    async def output(self, token: str) -> httpx.Response:
        return await self.system.http.get(f"/v1/checkpoint/{self.run_id}/output", params={"token": token})

    async def status(self) -> str:
        status: str = (await self.system.get(f"/v1/runs/{self.run_id}"))["status"]
        return status


Begin = Callable[..., Any]


@asynccontextmanager
async def begun(*answers: Any, **settings: Any) -> AsyncGenerator[Begun, None]:
    clock = VirtualClock(time.time())
    site = Site(*answers)
    defaults: dict[str, Any] = {"port": 0, "poll": False, "retry_interval": 0.0}
    config = ServerConfig(**{**defaults, **settings})
    headers = {"authorization": f"Bearer {KEY}"} if config.signing_key else {}
    async with (
        served(site) as origin,
        serving(config, clock=clock) as server,
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http,
    ):
        yield Begun(System(site, server.executor, http, clock, None), origin, site)


async def test_a_run_that_ends_while_its_request_is_answered_is_never_called() -> None:
    async with begun() as run:
        first = await run.begin(op("StepRun", "a", data=1))
        again = await run.begin(op("StepRun", "a", data=2))
        await run.save(op("StepRun", "b", data=2), complete())
        token = first.json()["data"]["token"]
        result = await run.output(token)
        steps = (await run.system.trace(run.run_id))["steps"]

        assert "Completed" == await run.status()

    assert (first.status_code, first.json()["data"]["fn_id"]) == (again.status_code, again.json()["data"]["fn_id"])
    assert (200, b"done", "yes") == (result.status_code, result.content, result.headers["x-mine"])
    assert [("a", 1), ("b", 2)] == [(step["name"], step["output"]) for step in steps[:2]]
    assert [] == run.site.requests


async def test_a_run_goes_on_with_the_same_request_signed_and_with_its_memos() -> None:
    async with begun(
        [op("StepRun", "b", data=3)], [complete()], kind="cloud", signing_key=KEY, event_keys=["k"]
    ) as run:
        first = await run.begin(op("StepRun", "a", data=1))
        await run.save(op("Sleep", "nap", opts={"duration": "10s"}))
        await run.system.idle()
        before = list(run.site.requests)
        await run.system.advance(10)
        result = await run.output(first.json()["data"]["token"])

    assert [] == before
    assert b"done" == result.content
    for request in run.site.requests:
        assert ("POST", b"\xc3\xa9 body", "text/plain") == (
            request.method,
            request.body,
            request.headers.get("content-type"),
        )
        assert request.url.endswith("?a=1")
        assert run.run_id == request.headers.get("x-run-id")
        assert verify(request.body, request.headers.get("x-inngest-signature"), [KEY], time.time()) == KEY


async def test_a_server_without_a_key_signs_too_so_that_apps_know_its_requests_from_those_of_clients() -> None:
    async with begun([complete()]) as run:
        first = await run.begin(op("StepRun", "a", data=1))
        await run.save(op("Sleep", "nap", opts={"duration": "1s"}))
        await run.system.advance(10)
        await run.output(first.json()["data"]["token"])
    (request,) = run.site.requests

    assert run.run_id == request.headers.get("x-run-id")
    assert verify(request.body, request.headers.get("x-inngest-signature"), [""], time.time()) == ""


async def test_bodies_may_come_as_the_typescript_sdk_sends_them() -> None:
    """The text of a request, and a JSON string of that of an answer (4.24)."""
    answer = {"status": 201, "headers": {}, "body": '"{\\"n\\":1}"', "version": 2}
    async with begun([op("RunComplete", "complete", data=answer)]) as run:
        event = {"data": {"domain": run.domain, "method": "POST", "path": "/x", "body": '{"é": 1}'}}
        first = await run.begin(op("StepRun", "a", data=1), event=event)
        await run.save(op("StepPlanned", "b"))
        result = await run.output(first.json()["data"]["token"])
    (request,) = run.site.requests

    assert '{"é": 1}'.encode() == request.body
    assert (201, b'{"n":1}') == (result.status_code, result.content)


async def test_a_failed_step_is_tried_again_by_making_the_request_again() -> None:
    error = {"name": "E", "message": "no", "stack": None}
    async with begun([op("StepRun", "a", data=1)], [complete()]) as run:
        first = await run.begin(op("StepError", "a", error=error), retries=1)
        result = await run.output(first.json()["data"]["token"])

    assert (200, 2) == (result.status_code, len(run.site.requests))


async def test_without_retries_a_failed_step_is_memoised_as_failed() -> None:
    error = {"name": "E", "message": "no", "stack": None}
    async with begun([complete(503, b"sorry")]) as run:
        first = await run.begin(op("StepError", "a", error=error))
        result = await run.output(first.json()["data"]["token"])

        assert "Failed" == await run.status()

    assert (503, b"sorry") == (result.status_code, result.content)


async def test_a_run_that_nobody_ends_is_taken_over_and_the_old_call_learns_it() -> None:
    async with begun([op("Sleep", "nap", opts={"duration": "1h"})]) as run:
        await run.begin(op("StepRun", "a", data=1))
        await run.system.advance(TAKEOVER - 1)
        saved = await run.save(op("StepRun", "b", data=1))
        await run.system.advance(TAKEOVER - 1)
        before = len(run.site.requests)
        await run.system.advance(1)
        late = await run.save(op("StepRun", "c", data=1))

    assert (200, 0, 1, 409) == (saved.status_code, before, len(run.site.requests), late.status_code)


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"run_id": "x"}, 400), ({"event": {"data": {"domain": "http://x", "body": 1}}}, 400), ({"steps": [1]}, 400)],
)
async def test_what_begins_no_run_is_refused(fields: dict[str, Any], status: int) -> None:
    async with begun() as run:
        assert status == (await run.begin(**fields)).status_code


async def test_only_bearers_of_a_key_begin_runs_and_only_of_a_token_fetch_results() -> None:
    async with begun(kind="cloud", signing_key=KEY, event_keys=["k"]) as run:
        token = (await run.begin(op("StepRun", "a", data=1))).json()["data"]["token"]
        wrong = {"authorization": "Bearer no"}
        calls = [
            await run.system.http.post("/v1/checkpoint", json={}, headers=wrong),
            await run.system.http.post("/v1/http/runs/x/steps", json={}, headers=wrong),
            await run.system.http.get(f"/v1/checkpoint/{run.run_id}/output", params={"token": token[:-2]}),
            await run.system.http.get("/v1/checkpoint/other/output", params={"token": token}),
        ]

    assert [401] * 4 == [answer.status_code for answer in calls]


async def test_steps_of_a_run_keep_to_the_limits_of_its_endpoint() -> None:
    async with begun() as run:
        begun_run = (await run.begin()).json()["data"]
        limited = {"functionId": begun_run["fn_id"], "limit": "1"}
        steps = await run.system.http.post("/fn/step-limit", data=limited)
        many = await run.save(op("StepRun", "a", data=1), op("StepRun", "b", data=2))
        await run.system.http.post("/fn/state-size-limit", data=limited)
        large = await run.save(op("StepRun", "a", data=10))

    assert 200 == steps.status_code
    assert (400, "the run would have more than 1 steps") == (many.status_code, many.json()["error"])
    assert (413, "the run's state would be larger than 1 bytes") == (large.status_code, large.json()["error"])


@pytest.mark.parametrize(("levels", "status"), [(398, 200), (399, 400)])
async def test_the_event_of_a_run_is_nested_as_deep_as_is_said_and_no_deeper(levels: int, status: int) -> None:
    async with begun() as run:
        more = "[" * levels + "]" * levels
        data = f'{{"domain":"{run.domain}","more":{more}}}'
        body = f'{{"run_id":"{run.run_id}","event":{{"data":{data}}}}}'
        answer = await run.system.http.post("/v1/checkpoint", content=body)

    assert status == answer.status_code
    assert ("nested deeper than 400 levels" in answer.text) == (status == 400)
