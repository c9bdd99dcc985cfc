"""The HTTP API: what it takes, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from stepserve_core._signature import hash_signing_key, verify
from stepserve_core.executor.api.routes import ROUTES
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.moments import to_rfc3339
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, reply, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]
KEY = "signkey-prod-0123456789abcdef"
FALLBACK = "signkey-prod-fedcba9876543210"
CLOUD = {"kind": "cloud", "signing_key": KEY, "signing_key_fallback": FALLBACK, "event_keys": ["good-key"]}


def fine(_: Call) -> Steps:
    return "fine"
    yield


async def post_event(system: System, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await system.http.post("/e/key", content=content, headers=headers)
    return answer.status_code, answer.json()


REFUSED: dict[str, tuple[Any, str]] = {
    "no name": ({"data": {}}, "event name is empty"),
    "a reserved name": ({"name": "inngest/function.failed"}, "event name is reserved for internal use"),
    "a reserved name in capitals": ({"name": "Inngest/x"}, "event name is reserved for internal use"),
    "a long name": ({"name": "x" * 513}, "longer than 512 characters"),
    "data that is a list": ({"name": "x", "data": [1]}, "data must be an object"),
    "an id that is a number": ({"name": "x", "id": 1}, "id must be text"),
    "a timestamp in seconds": ({"name": "x", "ts": 1_700_000_000}, "between the years 1980 and 2100"),
    "a timestamp that is text": ({"name": "x", "ts": "now"}, "ts must be Unix milliseconds"),
    "more than 3 MiB": ({"name": "x", "data": {"a": "x" * (3 << 20)}}, "larger than 3145728 bytes"),
    "six sessions": ({"name": "x", "meta": {"sessions": {str(n): "s" for n in range(6)}}}, "at most 5 sessions"),
    "a cut off body": (b'{"name": "x"', "not JSON"),
    "text": (b'"x"', "must be an event"),
    "an array of numbers": ([1], "must be a JSON object"),
    "an empty array": ([], "holds no events"),
    "an empty body": (b"", "must be an event"),
    "5001 events": ([{"name": "x"}] * 5001, "at most 5000"),
    "deep nesting": (b'{"name":"x","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
    "a lone surrogate": (b'{"name":"x","data":{"a":"\\ud800"}}', "not JSON"),
    "a number that no double holds": (b'{"name":"x","data":{"a":1e999}}', "not JSON"),
}


async def test_bad_events_are_refused_with_the_reason(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        for name, (body, message) in REFUSED.items():
            status, answer = await post_event(system, body)

            assert (400, 400, []) == (status, answer["status"], answer["ids"]), name
            assert message in answer["error"], name


async def test_events_before_a_bad_one_are_taken(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        status, answer = await post_event(system, [{"name": "test/x"}, {"name": "inngest/bad"}, {"name": "test/x"}])

        assert 400 == status
        assert "event 2 of 3: event name is reserved" in answer["error"]
        (event_id,) = answer["ids"]
        assert ("Completed", "fine") == await system.outcome(event_id)


def _echo(call: Call) -> Steps:
    return call.event["data"]
    yield


async def test_the_same_seed_gives_the_same_ids_and_one_run(start: StartSystem) -> None:
    seed = {"x-inngest-event-id-seed": "1743130137367,eii2YKXRVTJPuA=="}
    async with start(Fn("f", fine, ON_X)) as system:
        first = await post_event(system, [{"name": "test/x"}, {"name": "test/x"}], **seed)
        second = await post_event(system, [{"name": "test/x"}, {"name": "test/x"}], **seed)
        await system.idle()
        stored = [event["internal_id"] for event in await system.events("test/x")]

        assert first == second
        assert (4, 2) == (len(stored), len(set(stored)))
        assert 2 == len(system.app.calls)


async def test_a_malformed_seed_is_ignored(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        for seed in ("x", "1,not base64", "1,AAAA", "-1,eii2YKXRVTJPuA=="):
            status, answer = await post_event(system, {"name": "y"}, **{"x-inngest-event-id-seed": seed})

            assert (200, 1) == (status, len(answer["ids"]))


async def test_an_invocation_over_http_starts_the_named_function(start: StartSystem) -> None:
    async with start(Fn("f", _echo)) as system:
        answer = await system.http.post("/invoke/app-f", json={"data": {"n": 1}})
        status, output = await system.outcome(answer.json()["id"])

        assert ("Completed", 1, "app-f") == (status, output["n"], output["_inngest"]["fn_id"])


async def test_user_events_cannot_carry_internal_data(start: StartSystem) -> None:
    async with start(Fn("f", _echo, ON_X)) as system:
        event_id = await system.send("test/x", {"_inngest": {"fn_id": "app-f"}, "n": 1})

        assert ("Completed", {"n": 1}) == await system.outcome(event_id)


async def test_health_and_the_dev_document(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        health = await system.http.get("/health")
        info = (await system.http.get("/dev")).json()

        assert ({"status": 200, "message": "OK"}, "dev") == (health.json(), health.headers["x-inngest-server-kind"])
        assert ["app-f"] == [function["slug"] for function in info["functions"]]


async def test_the_dev_document_says_how_the_server_was_started(start: StartSystem) -> None:
    urls = ["http://user:secret@127.0.0.1:9/api/inngest?token=secret"]
    async with start(sdk_urls=urls, poll=None, poll_interval=60.0, retry_interval=2.0) as system:
        gateway = (await system.http.post("/v0/connect/start", content=b"")).status_code
        info = (await system.http.get("/dev")).json()

    options = info["startOpts"]
    port = options.pop("connectGatewayPort")
    assert (200, True) == (gateway, 0 < port != system.http.base_url.port)
    assert {
        "urls": ["http://127.0.0.1:9/api/inngest"],
        "autodiscover": False,
        "poll": True,
        "poll_interval": 60,
        "tick": 0,
        "retry_interval": 2,
        "queue_workers": 100,
        "require_keys": False,
        "connectGatewayHost": "127.0.0.1",
        "persist": True,
        "redis_uri": "",
        "postgres_uri": "",
    } == options
    assert info["features"]["FEATURE_CEL_SEARCH"]


async def test_the_trace_has_steps_attempts_times_and_results(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("a", {"x": 1})
        yield run("b", None)
        return "end"

    async with start(Fn("f", script, ON_X)) as system:
        run_object = await system.run_of(await system.send("test/x"))
        trace = await system.trace(run_object["run_id"])

        assert ("app-f", "Completed", "end") == (trace["function"], trace["run"]["status"], trace["run"]["output"])
        names = [(step["name"], step["op"], step["status"]) for step in trace["steps"]]
        completed = [("a", "StepRun", "Completed"), ("b", "StepRun", "Completed")]
        assert [*completed, ("Finalization", "Finalization", "Completed")] == names
        (attempt,) = trace["steps"][0]["attempts"]
        assert (0, "Completed", {"x": 1}) == (attempt["attempt"], attempt["status"], attempt["output"])
        assert attempt["duration_ms"] > 0


@pytest.mark.not_under("late_answer", reason="looks at the moments of timers")
async def test_the_trace_tells_which_calls_are_to_come(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("a", 1)
        raise RaisedError("later", retry_after="60")

    clock = VirtualClock()
    async with start(Fn("f", script, ON_X), clock=clock) as system:
        run_object = await system.run_of(await system.send("test/x"))
        (call,) = (await system.trace(run_object["run_id"]))["calls"]

    assert {"step": None, "attempt": 1, "due_at": to_rfc3339(clock.now() + 60), "state": "waiting"} == call


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/runs/nonsense", 400),
        ("/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404),
        ("/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/jobs", 404),
        ("/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404),
        ("/v0/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/actions", 410),
        ("/v0/runs/nonsense/batch", 400),
        ("/v1/events?received_after=yesterday", 400),
        ("/v1/events?cursor=nonsense", 400),
    ],
)
async def test_unknown_and_malformed_ids_are_named_in_the_error(start: StartSystem, path: str, status: int) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        answer = await system.http.get(path)

        assert (status, status) == (answer.status_code, answer.json()["status"])
        assert answer.json()["error"]


async def test_a_request_body_that_is_announced_too_large_is_refused_before_it_is_read(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        url = system.http.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"POST /fn/register HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
        status_line = await reader.readline()
        writer.close()
        await writer.wait_closed()

        assert status_line.startswith(b"HTTP/1.1 413")


async def test_a_request_body_that_turns_out_too_large_is_refused(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        answer = await system.http.post("/fn/register", content=_endless())

        assert (413, "the request is larger than 8388608 bytes") == (answer.status_code, answer.json()["error"])


async def _endless() -> AsyncGenerator[bytes, None]:
    for _ in range(9 * 1024):
        yield b"x" * 1024


OPEN = {"/e/{key:path}", "/health", "/dev"}
"""What asks for no key, or for an event key."""
WITH_TOKEN = {"/v1/realtime/sse"}
KEYED = [
    (method, re.sub(r"\{.*?\}", "x", route.path))
    for route in ROUTES
    if isinstance(route, Route) and route.path not in OPEN | WITH_TOKEN
    for method in sorted(route.methods or ())
]


async def test_every_route_but_the_open_ones_refuses_whoever_has_no_key(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X), **CLOUD) as system:
        for method, path in KEYED:
            answer = await system.http.request(method, path, headers={"authorization": "Bearer wrong"})

            assert 401 == answer.status_code, (method, path)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Bearer", f"Basic {KEY}", "Bearer é"])
async def test_what_is_not_the_key_is_refused(start: StartSystem, authorization: str) -> None:
    async with start(Fn("f", fine, ON_X), **CLOUD) as system:
        headers = httpx.Headers([(b"authorization", authorization.encode("latin-1"))])
        answer = await system.http.get("/v1/events", headers=headers)

    assert (401, "Authentication failed") == (answer.status_code, answer.text)


async def test_an_app_is_removed_by_its_url(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        unknown = await system.http.delete("/fn/remove", params={"url": "http://nowhere.example/"})
        removed = await system.http.delete("/fn/remove", params={"url": system.app.url})
        again = await system.http.delete("/fn/remove", params={"url": system.app.url})
        event_id = await system.send("test/x")
        await system.idle()

        assert [(404, "App not found"), (404, "App not found")] == [
            (answer.status_code, answer.json()["error"]) for answer in (unknown, again)
        ]
        assert (200, []) == (removed.status_code, await system.runs(event_id))


async def test_the_functions_of_an_app_are_a_bare_array_of_configurations(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=2)) as system:
        (config,) = (await system.http.get("/v1/apps/app/functions")).json()
        unknown = await system.http.get("/v1/apps/other/functions")

    assert ("app-f", ON_X) == (config["id"], config["triggers"])
    assert [{"attempts": 2}] == [step["retries"] for step in config["steps"].values()]
    assert (404, "App not found") == (unknown.status_code, unknown.json()["error"])


@pytest.mark.not_under("late_answer", reason="looks at the moments of timers")
async def test_the_jobs_of_a_run_are_those_that_are_queued_for_it(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield [sleep("long", "2h"), sleep("short", "1h")]

    clock = VirtualClock()
    async with start(Fn("f", script, ON_X), clock=clock) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        begun = clock.now()
        jobs = await system.get(f"/v1/runs/{run_id}/jobs")
        await system.advance(7201)
        left = await system.get(f"/v1/runs/{run_id}/jobs")

    expected = [("sleep", to_rfc3339(begun + hours * 3600), place) for place, hours in enumerate((1, 2))]
    assert expected == [(job["kind"], job["at"], job["position"]) for job in jobs]
    assert [run_id, run_id] == [job["JobID"].partition(":")[0] for job in jobs]
    assert [] == left


async def test_a_trace_is_found_under_both_prefixes(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        traces = [await system.get(f"{prefix}/runs/{run_id}/trace") for prefix in ("/v2", "/api/v2")]

    assert [run_id, run_id] == [trace["run"]["run_id"] for trace in traces]


async def test_a_trace_comes_in_the_envelope_of_its_api(start: StartSystem) -> None:
    async with start(Fn("f", fine, [{"event": "test/x"}])) as system:
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        found = (await system.http.get(f"/v2/runs/{run_id}/trace")).json()
        missing = (await system.http.get("/v2/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/trace")).json()

    assert ["fetchedAt"] == list(found["metadata"])
    assert ["not_found"] == [error["code"] for error in missing["errors"]]


async def test_the_key_is_taken_raw_or_hashed_with_or_without_prefix_and_so_is_the_fallback(
    start: StartSystem,
) -> None:
    async with start(Fn("f", fine, ON_X), **CLOUD) as system:
        for key in (KEY, FALLBACK):
            bare = key.removeprefix("signkey-prod-")
            for token in (key, bare, hash_signing_key(key), f"signkey-prod-{hash_signing_key(key)}"):
                answer = await system.http.get("/v1/events", headers={"authorization": f"Bearer {token}"})

                assert 200 == answer.status_code


async def test_event_keys_are_checked_in_production(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X), **CLOUD) as system:
        good = await system.http.post("/e/good-key", json={"name": "test/x"})
        bad = await system.http.post("/e/bad-key", json={"name": "test/x"})
        empty = await system.http.post("/e/", json={"name": "test/x"})

        assert 200 == good.status_code
        assert (401, {"status": 401, "error": "Event key not found"}) == (bad.status_code, bad.json())
        assert (401, {"status": 401, "error": "Event key is required"}) == (empty.status_code, empty.json())


@pytest.mark.not_under(reason="looks at each request on the wire")
async def test_production_has_no_dev_document_and_signs_its_calls(start: StartSystem) -> None:
    bodies: list[tuple[bytes, str]] = []
    async with start(Fn("f", fine, ON_X), **CLOUD) as system:
        original = system.app.ahandle

        async def capture(request: Any) -> Any:
            bodies.append((request.body, request.headers.get("x-inngest-signature")))
            return await original(request)

        system.app.ahandle = capture  # type: ignore[method-assign]  # to see the raw bytes
        await system.http.post("/e/good-key", json={"name": "test/x"})
        await system.idle()
        missing = await system.http.get("/dev")

        assert (404, "cloud") == (missing.status_code, missing.headers["x-inngest-server-kind"])
        ((body, signature),) = bodies
        assert KEY == verify(body, signature, [KEY], system.executor.clock.now())


async def test_sessions_that_were_handed_on_come_below_those_of_the_event(start: StartSystem) -> None:
    meta = {
        "propagated_sessions": {"a": "old", "b": "old", "c": "old"},
        "sessions": {"a": "new", "c": None, "d": "new"},
    }
    async with start(Fn("f", fine, ON_X)) as system:
        await system.send("test/x", meta=meta)
        await system.send("test/x", meta={"propagated_sessions": {"a": "old"}, "sessions": {"a": None}, "other": 1})
        merged, removed = await system.events("test/x")

        assert {"sessions": {"a": "new", "b": "old", "d": "new"}} == merged["meta"]
        assert "meta" not in removed


@pytest.mark.parametrize("body", [b'{"name": "test/x"}', b' [{"name": "test/x"}]'])
async def test_json_that_curl_calls_a_form_is_json(start: StartSystem, body: bytes) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await system.http.post("/e/key", content=body, headers=headers)

        assert ("Completed", "fine") == await system.outcome(answer.json()["ids"][0])


async def test_figures_about_sdks_are_accepted(start: StartSystem) -> None:
    async with start() as system:
        assert 200 == (await system.http.post("/v0/telemetry", json={"a": 1})).status_code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"rateLimit": {"limit": 1, "period": "1h"}}, "rate_limited"),
        ({"debounce": {"period": "1h"}}, "function_debounced"),
        ({"batchEvents": {"maxSize": 9, "timeout": "1h"}}, "function_batched"),
        ({"singleton": {"mode": "skip"}}, "function_skipped"),
    ],
)
async def test_an_invocation_that_starts_no_run_is_told_why(
    start: StartSystem, options: dict[str, Any], code: str
) -> None:
    async with start(Fn("f", fine, ON_X, options=options)) as system:
        release = asyncio.Event()

        async def hold(_: Call) -> Any:
            await release.wait()
            return reply(200, None)

        system.app.replies["f"] = hold
        answers = [await system.http.post("/v2/apps/app/functions/f/invoke", json={}) for _ in range(2)]
        release.set()

    assert (422, code) == (answers[1].status_code, answers[1].json()["errors"][0]["code"])


@pytest.mark.parametrize("path", ["/v1/traces/userland", "/dev/traces"])
async def test_spans_of_apps_are_taken_and_answered_as_collectors_do(start: StartSystem, path: str) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        as_json = await system.http.post(path, json={"resourceSpans": []})
        as_protobuf = await system.http.post(path, content=b"", headers={"content-type": "application/x-protobuf"})
        too_large = await system.http.post(path, content=b"x" * (8 * 2**20 + 1))

    assert (200, {}) == (as_json.status_code, as_json.json())
    assert (200, b"", "application/x-protobuf") == (
        as_protobuf.status_code,
        as_protobuf.content,
        as_protobuf.headers["content-type"],
    )
    assert 413 == too_large.status_code
