"""What durable endpoints stream through the executor: in from their apps, out to their clients (executor.md 10)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from stepserve_core.executor import ids
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.realtime.broker import MOST_WAITING
from stepserve_core.executor.realtime.endpoint_streams import MOST_OF_RUN, Frames, Splitter
from stepserve_core.executor.realtime.tokens import STREAM, STREAM_LIFE, Topic, make_token
from stepserve_core.executor.server import RunningServer, ServerConfig, serving
from tests.executor.raw_app import hash_id

pytestmark = pytest.mark.anyio
KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
TEE = "/v1/realtime/publish/tee"
PATIENCE = 20
"""Seconds after which an event that does not come fails its test."""


def event(name: str, data: Any) -> bytes:
    return f"event: inngest.{name}\ndata: {json.dumps(data)}\n\n".encode()


ONE, TWO = (event("stream", {"data": number}) for number in (1, 2))
RESPONSE = event("response", {"status": "succeeded", "response": {"statusCode": 200, "headers": {}, "body": "done"}})


class Begun:
    """A run that an app has begun, and its server."""

    def __init__(self, http: httpx.AsyncClient, server: RunningServer, clock: VirtualClock) -> None:
        self.http, self.server, self.clock = http, server, clock
        self.run_id = ids.new_id(clock.now())
        self.token = ""

    async def begin(self) -> None:
        data = {"domain": "http://127.0.0.1:9", "method": "POST", "path": "/x", "body": ""}
        step = {"op": "StepRun", "id": hash_id("first"), "name": "first", "displayName": "first", "data": 1}
        body = {"run_id": self.run_id, "event": {"name": "inngest/http.request", "data": data}, "steps": [step]}
        opened = await self.http.post("/v1/checkpoint", json=body)
        self.token = opened.json()["data"]["realtime_token"]

    async def tee(self, content: Any, **params: str) -> int:
        params = params or {"channel": self.run_id}
        return (await self.http.post(TEE, params=params, content=content)).status_code

    async def end(self, status: int, body: bytes) -> None:
        answer = {"status": status, "headers": {"x-mine": "yes"}, "body": base64.b64encode(body).decode()}
        op = {"op": "SyncRunComplete", "id": hash_id("complete"), "name": "complete", "displayName": "complete"}
        steps = {"steps": [{**op, "data": {"data": answer}}]}
        (await self.http.post(f"/v1/checkpoint/{self.run_id}/steps", json=steps)).raise_for_status()

    @asynccontextmanager
    async def following(self, token: str | None = None) -> AsyncGenerator[httpx.Response, None]:
        params = {"token": self.token if token is None else token}
        async with self.http.stream("GET", "/v1/realtime/sse", params=params, headers={"authorization": ""}) as answer:
            yield answer

    def kept(self, run_id: str | None = None) -> bytes:
        """Return what those hear who begin to follow now."""
        executor = self.server.executor
        subscription, kept = executor.endpoint_streams.follow(run_id or self.run_id)
        executor.realtime.leave(subscription)
        return kept

    async def hear(self) -> bytes:
        """Follow the run to the end of what it streams; return that without comments."""
        async with self.following() as answer:
            return (await asyncio.wait_for(answer.aread(), PATIENCE)).replace(b":\n\n", b"")


@asynccontextmanager
async def running(**settings: Any) -> AsyncGenerator[Begun, None]:
    clock = VirtualClock(time.time())
    config = ServerConfig(port=0, poll=False, kind="cloud", signing_key=KEY, event_keys=["k"], **settings)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        serving(config, clock=clock) as server,
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE) as http,
    ):
        begun = Begun(http, server, clock)
        await begun.begin()
        yield begun


async def next_events(answer: httpx.Response, text: bytes) -> bytes:
    """Read until `text` has come."""
    heard = b""
    async for piece in answer.aiter_raw():
        heard += piece.replace(b":\n\n", b"")
        if text in heard:
            break
    return heard


async def test_what_an_app_streams_reaches_who_listens_before_it_has_ended() -> None:
    sent = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield ONE + TWO[:10]
        await sent.wait()
        yield TWO[10:]

    async with running() as run, run.following() as answer:
        teeing = asyncio.create_task(run.tee(pieces()))
        first = await asyncio.wait_for(next_events(answer, ONE), PATIENCE)
        sent.set()
        status = await teeing

    assert (ONE, 200) == (first, status)


async def test_who_comes_late_hears_all_and_the_stream_ends_with_the_response() -> None:
    async with running() as run:
        for content in (ONE, TWO, RESPONSE):
            assert 200 == await run.tee(content)

        assert [ONE + TWO + RESPONSE] * 2 == [await run.hear(), await run.hear()]


@pytest.mark.parametrize(("status", "outcome"), [(201, "succeeded"), (503, "failed")])
async def test_a_run_whose_app_tells_no_response_has_one(status: int, outcome: str) -> None:
    async with running() as run:
        await run.tee(ONE)
        hearing = asyncio.create_task(run.hear())
        while not run.server.executor.realtime.subscribers:
            await asyncio.sleep(0.01)
        await run.end(status, "done ✓".encode())
        heard, late = await hearing, await run.hear()

    response = {"statusCode": status, "headers": {"x-mine": "yes"}, "body": "done ✓"}
    first, _, last = heard.partition(b"event: inngest.response\ndata: ")
    assert (ONE, {"status": outcome, "response": response}) == (first, json.loads(last))
    assert heard == late


async def test_a_cancelled_run_says_so_to_who_listens() -> None:
    async with running() as run:
        await run.http.delete(f"/v1/runs/{run.run_id}")
        data = json.loads((await run.hear()).partition(b"data: ")[2])

    assert ("failed", 410) == (data["status"], data["response"]["statusCode"])
    assert "cancelled" in json.loads(data["response"]["body"])["error"]


async def test_bytes_that_are_no_text_come_in_base64() -> None:
    async with running() as run:
        await run.end(200, b"\xff\x00")
        response = json.loads((await run.hear()).partition(b"data: ")[2])["response"]

    assert (True, b"\xff\x00") == (response["isBase64Encoded"], base64.b64decode(response["body"]))


async def test_events_of_requests_at_the_same_time_do_not_mix() -> None:
    async with running() as run:
        half = asyncio.Event()

        async def slowly(whole: bytes) -> AsyncGenerator[bytes, None]:
            yield whole[:10]
            await half.wait()
            yield whole[10:]

        slow = asyncio.create_task(run.tee(slowly(ONE)))
        await run.tee(TWO)
        half.set()
        await slow
        await run.tee(RESPONSE)

        assert TWO + ONE + RESPONSE == await run.hear()


@pytest.mark.parametrize(
    ("params", "content", "status"),
    [
        ({}, ONE, 200),
        ({"channel": ""}, ONE, 400),
        ({}, ONE + b"event: half", 400),
        ({}, ONE + b"x" * 1_100_000, 413),
    ],
)
async def test_what_cannot_be_passed_on_is_refused(params: dict[str, str], content: bytes, status: int) -> None:
    async with running() as run:
        assert status == await run.tee(content, **params)

        assert (b"" if params else ONE) == run.kept()


async def test_streaming_needs_the_key_and_listening_the_token_of_the_run() -> None:
    async with running() as run:
        secret, now = run.server.executor.realtime.secret, run.clock.now()
        tee = [
            await run.http.post(TEE, params={"channel": run.run_id}, content=ONE, headers={"authorization": given})
            for given in ("", "Bearer wrong", f"Bearer {run.token}")
        ]
        unknown = make_token(secret, [Topic(STREAM, ids.new_id(now))], now)
        statuses = []
        for token in ("", run.token[:-3], unknown):
            async with run.following(token) as answer:
                statuses.append(answer.status_code)
        run.clock.advance(STREAM_LIFE + 1)
        async with run.following() as answer:
            statuses.append(answer.status_code)

    assert [401, 401, 401] == [answer.status_code for answer in tee]
    assert [401, 401, 404, 401] == statuses


async def test_who_does_not_read_is_dropped_and_may_come_again() -> None:
    async with running() as run:
        streams = run.server.executor.endpoint_streams
        slow, _ = streams.follow(run.run_id)
        for _ in range(MOST_WAITING):
            streams.publish(run.run_id, Frames(ONE))
        run.server.executor.realtime.leave(slow)

        assert (True, ONE * MOST_WAITING) == (slow.is_closed, run.kept())


async def test_of_much_the_newest_is_kept() -> None:
    async with running() as run:
        streams = run.server.executor.endpoint_streams
        large = Frames(event("stream", {"data": "x" * (MOST_OF_RUN // 2)}))
        for frames in (Frames(ONE), large, large, Frames(TWO), Frames(RESPONSE)):
            streams.publish(run.run_id, frames)

        assert bytes(large + TWO + RESPONSE) == run.kept()


async def test_what_many_runs_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepserve_core.executor.realtime.endpoint_streams.MOST_OF_ALL", 2 * len(ONE))
    async with running() as run:
        streams = run.server.executor.endpoint_streams
        for run_id in ("a", "b", "a", "c"):
            streams.publish(run_id, Frames(ONE))

        assert [b"", b"", ONE] == [run.kept(run_id) for run_id in ("a", "b", "c")]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_whole_however_they_arrive(size: int) -> None:
    whole, splitter = ONE + TWO + RESPONSE, Splitter()
    found = [splitter.feed(whole[start : start + size]) for start in range(0, len(whole), size)]

    assert (whole, True) == (b"".join(found), splitter.is_complete)
    assert [True] == [frames.is_last for frames in found if frames][-1:]
    assert all(frames.endswith(b"\n\n") for frames in found if frames)
