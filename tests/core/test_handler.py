"""One request in, one response out: headers, statuses, authentication, colours (protocol.md 3.1, 5.1, 5.5, 5.4)."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import _signature
from stepserve_core._protocol import Request
from stepserve_core._version import VERSION
from stepserve_core.handler import Handler
from tests.core import local_server
from tests.core.calls import (
    EVENT,
    KEY,
    OTHER_KEY,
    TRIGGER,
    Reply,
    call,
    call_body,
    cloud_client,
    define,
    dev_client,
    hashed,
    make_handler,
    post,
    serve,
    sign,
)
from tests.core.colours import COLOURS

ENTRIES = ("handle", "ahandle")
every_entry = pytest.mark.parametrize("entry", ENTRIES)
BODY = json.dumps(call_body()).encode()
BARE = {"content-type", "x-inngest-sdk-handled", "server-timing"}


async def returns(ctx: Any) -> str:
    """Return at once."""
    del ctx
    return "done"


async def runs_a_step(ctx: Any) -> object:
    """Use a step."""
    return await ctx.step.run("a", lambda: 1)


def app(colour: str = "sync", *, client: core.Inngest | None = None, body: Any = returns, **options: Any) -> Handler:
    """Return a handler of one function."""
    client = client or cloud_client()
    return make_handler(client, define(client, colour, body), **options)


def signed(body: bytes = BODY, *, key: str = KEY, function_id: str = "app-f", **headers: str) -> Request:
    """Return a call that a server signed."""
    return post(function_id, body, headers={"x-inngest-signature": sign(body, key), **headers})


# Headers and statuses


@every_entry
def test_the_headers_of_an_answer(colour: str, entry: str) -> None:
    reply = serve(app(colour, client=cloud_client(env="feature")), signed(), entry=entry)

    signature, timing = reply.headers["x-inngest-signature"], reply.headers["server-timing"]
    assert 200 == reply.status
    assert {
        "content-type": "application/json",
        "server-timing": timing,
        "user-agent": f"inngest-py:v{VERSION}",
        "x-inngest-env": "feature",
        "x-inngest-expected-server-kind": "cloud",
        "x-inngest-framework": "flask",
        "x-inngest-req-version": "2",
        "x-inngest-sdk": f"inngest-py:v{VERSION}",
        "x-inngest-sdk-handled": "true",
        "x-inngest-signature": signature,
    } == reply.headers
    assert re.fullmatch(r"(\w+;dur=\d+)(, \w+;dur=\d+)*", timing)


@pytest.mark.parametrize("status", [200, 206, 500])
def test_every_answer_tells_who_gave_it(status: int) -> None:
    async def fails(ctx: Any) -> None:
        del ctx
        raise ValueError

    body = {200: returns, 206: runs_a_step, 500: fails}[status]
    reply = serve(app(client=dev_client(), body=body), post("app-f", BODY))

    assert (status, f"inngest-py:v{VERSION}", "true", "2", "dev") == (
        reply.status,
        reply.headers["x-inngest-sdk"],
        reply.headers["x-inngest-sdk-handled"],
        reply.headers["x-inngest-req-version"],
        reply.headers["x-inngest-expected-server-kind"],
    )
    assert {"x-inngest-env", "x-inngest-signature"}.isdisjoint(reply.headers)


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "get", "", "TRACE"])
@every_entry
def test_another_method_is_not_allowed_and_told_nothing(method: str, entry: str) -> None:
    reply = serve(app(), Request(method, "http://app.test/api/inngest", {}, b""), entry=entry)

    assert (405, "GET, POST, PUT") == (reply.status, reply.headers["allow"])
    assert {*BARE, "allow"} == set(reply.headers)


def test_head_is_answered_as_get() -> None:
    assert 401 == serve(app(), Request("HEAD", "http://app.test/", {}, b"")).status
    assert 200 == serve(app(client=dev_client()), Request("HEAD", "http://app.test/", {}, b"")).status


# What is asked for


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("", "query_param_missing", "fnId"),
        ("?stepId=step", "query_param_missing", "fnId"),
        ("?fnId=&stepId=step", "query_param_missing", "fnId"),
        ("?fnId=app-gone&stepId=step", "function_not_found", "function app-gone not found"),
        ("?fnId=f&stepId=step", "function_not_found", "function f not found"),
        ("?fnId=app-f-failure", "function_not_found", "function app-f-failure not found"),
    ],
)
def test_a_call_of_nothing_that_is_here(query: str, code: str, message: str) -> None:
    request = Request("POST", f"http://app.test/api/inngest{query}", {}, BODY)

    reply = serve(app(client=dev_client()), request)

    assert (500, code) == (reply.status, reply.json["code"])
    assert {"code", "message", "name"} == set(reply.json)
    assert message in reply.json["message"]
    assert "x-inngest-no-retry" not in reply.headers


@pytest.mark.parametrize(
    "query",
    ["?fnId=app-f", "?fnId=app-f&stepId=step", "?fnId=app-f&stepId=", "?fnId=app-f&fnId=x&stepId=step&stepId=y"],
)
def test_without_a_step_id_there_is_no_target_and_the_first_value_counts(query: str) -> None:
    reply = serve(app(client=dev_client(), body=runs_a_step), Request("POST", f"http://h/{query}", {}, BODY))

    assert (206, "StepRun") == (reply.status, reply.json[0]["op"])


@pytest.mark.parametrize(
    "body",
    [b"", b"notjson", b"[]", b"null", b"{}", BODY[:-1], BODY[:50], b"\xff", b"[" * 100_000, b'{"ctx":' * 100_000],
)
@every_entry
def test_a_body_that_is_no_call_is_refused(body: bytes, entry: str) -> None:
    for handler, request in ((app(), signed(body)), (app(client=dev_client()), post("app-f", body))):
        reply = serve(handler, request, entry=entry)

        assert (500, "body_invalid", "BodyInvalidError") == (reply.status, reply.json["code"], reply.json["name"])


def test_the_failure_handler_is_called_by_its_own_id(colour: str) -> None:
    from tests.core.colours import in_colour

    async def on_failure(ctx: Any) -> object:
        return ["failed", ctx.event.data["error"]["message"]]

    client = dev_client()
    handler = make_handler(client, define(client, colour, returns, on_failure=in_colour(colour, on_failure)))
    event = {"name": "inngest/function.failed", "data": {"error": {"message": "boom"}}}
    body = json.dumps(call_body(event=event)).encode()

    entry = "handle" if colour == "sync" else "ahandle"
    assert ["failed", "boom"] == serve(handler, post("app-f-failure", body), entry=entry).json
    assert "done" == serve(handler, post("app-f", body), entry=entry).json


def test_request_and_job_ids_come_from_headers(colour: str) -> None:
    async def body(ctx: Any) -> list[object]:
        return [ctx.request_id, ctx.job_id]

    handler = app(colour, client=dev_client(), body=body)
    for headers, expected in (
        ({"x-request-id": "r1", "x-inngest-job-id": "j1"}, ["r1", "j1"]),
        ({"x-request-id": "", "x-inngest-job-id": ""}, [None, None]),
    ):
        assert expected == serve(handler, post("app-f", BODY, headers=headers)).json


# Who asks


# Made when they are sent: a slow machine would bring the future into the window.
REFUSED: dict[str, Callable[[], str | None]] = {
    "missing": lambda: None,
    "empty": lambda: "",
    "garbage": lambda: "garbage",
    "no timestamp": lambda: "s=" + "0" * 64,
    "no mac": lambda: "t=1700000000",
    "not a number": lambda: "t=abc&s=00",
    "non-ASCII": lambda: "t=1700000000&s=ü",
    "wrong": lambda: f"t={round(time.time())}&s={'0' * 64}",
    "another key": lambda: sign(BODY, OTHER_KEY),
    "another body": lambda: sign(BODY + b" "),
    "expired": lambda: sign(BODY, at=time.time() - 301),
    "future": lambda: sign(BODY, at=time.time() + 120),
}


@pytest.mark.parametrize("signature", REFUSED.values(), ids=REFUSED.keys())
@every_entry
def test_who_cannot_prove_to_be_the_server_is_told_nothing(
    signature: Callable[[], str | None], entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("stepserve_core._protocol.parse_call", parsed.append)
    made = signature()
    headers = {} if made is None else {"x-inngest-signature": made}

    reply = serve(app(client=cloud_client(env="feature")), post("app-f", BODY, headers=headers), entry=entry)

    assert (401, {"message": "Unauthorized"}, BARE) == (reply.status, reply.json, set(reply.headers))
    assert [] == parsed


@pytest.mark.parametrize("body", [b"", b"notjson", b"\xff", b'"\\ud800"', b"[" * 15_000, b"9" * 400, b"1e999", b"NaN"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_stranger_cannot_make_the_app_stumble(body: bytes, method: str) -> None:
    request = Request(
        method,
        "http://app.test/?fnId=%ff&stepId=%00&probe=trust",
        {"x-inngest-signature": f"t={round(time.time())}&s=00", "x-inngest-sync-kind": "in_band"},
        body,
    )

    assert 401 == serve(app(), request).status


def test_a_refused_call_leaves_the_function_alone() -> None:
    called: list[str] = []

    async def body(ctx: Any) -> None:
        called.append(ctx.run_id)

    serve(app(body=body), post("app-f", BODY))

    assert [] == called


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@every_entry
def test_the_answer_is_signed_with_the_key_that_signed_the_request(
    key: str, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    handler = app(body=runs_a_step)

    response = handler.handle(signed(key=key)) if entry == "handle" else asyncio.run(handler.ahandle(signed(key=key)))

    header = response.headers["x-inngest-signature"]
    assert key == _signature.verify(response.body, header, [key], time.time())
    assert header == sign(response.body, key, at=int(header[2:].partition("&")[0]))


def test_an_answer_with_an_error_is_signed_too() -> None:
    for request in (signed(b"notjson"), signed(function_id="app-gone")):
        reply = serve(app(), request)

        assert 500 == reply.status
        assert "x-inngest-signature" in reply.headers


@pytest.mark.parametrize("signature", [None, "garbage", "t=1&s=00"])
def test_in_dev_mode_signatures_are_not_looked_at(signature: str | None) -> None:
    headers = {} if signature is None else {"x-inngest-signature": signature}

    reply = serve(app(client=dev_client(signing_key=KEY)), post("app-f", BODY, headers=headers))

    assert (200, "done") == (reply.status, reply.json)
    assert "x-inngest-signature" not in reply.headers


def test_a_body_that_differs_from_its_canonical_form_is_accepted_if_it_is_short() -> None:
    pretty = json.dumps(call_body(), indent=2).encode()
    canonical = json.dumps(call_body(), sort_keys=True, separators=(",", ":")).encode()

    reply = serve(app(), post("app-f", pretty, headers={"x-inngest-signature": sign(canonical)}))

    assert 200 == reply.status


# Colours: handle and ahandle, def and async def


def waits_or_not(colour: str, action: Callable[[], object]) -> Any:
    """Return a handler of the wanted colour that gives what `action` gives."""
    if colour == "sync":
        return lambda ctx: action()

    async def handler(ctx: core.Context) -> object:
        await asyncio.sleep(0)
        return action()

    return handler


four_ways = pytest.mark.parametrize(("entry", "colour"), [(entry, colour) for entry in ENTRIES for colour in COLOURS])


def serve_one(entry: str, handler: Any, client: core.Inngest | None = None) -> Reply:
    """Serve one call of a handler."""
    client = client or dev_client()
    function = client.create_function(fn_id="f", trigger=TRIGGER)(handler)
    return serve(make_handler(client, function), post("app-f", BODY), entry=entry)


@four_ways
def test_every_function_is_served_by_every_entry(entry: str, colour: str) -> None:
    assert (200, "answer") == serve_one(entry, waits_or_not(colour, lambda: "answer"))[:2]


@four_ways
def test_a_step_is_served_by_every_entry(entry: str, colour: str) -> None:
    reply = serve(app(colour, client=dev_client(), body=runs_a_step), post("app-f", BODY), entry=entry)

    assert [("a", "StepRun", 1)] == [(op["displayName"], op["op"], op["data"]) for op in reply.json]


variable: ContextVar[str] = ContextVar("variable", default="unset")


@four_ways
def test_context_variables_of_the_caller_are_seen_in_the_function(entry: str, colour: str) -> None:
    token = variable.set("from the caller")
    try:
        assert "from the caller" == serve_one(entry, waits_or_not(colour, variable.get)).json
    finally:
        variable.reset(token)


@four_ways
def test_where_a_function_runs(entry: str, colour: str) -> None:
    thread = serve_one(entry, waits_or_not(colour, lambda: threading.current_thread().name)).json

    expected = {
        ("handle", "sync"): threading.current_thread().name,
        ("handle", "async"): "stepserve-loop",
        ("ahandle", "sync"): "stepserve_0",
        ("ahandle", "async"): threading.current_thread().name,
    }[entry, colour]
    assert expected.rstrip("0123456789") == thread.rstrip("0123456789")


def test_a_sync_function_does_not_block_the_loop() -> None:
    release = threading.Event()

    async def scenario() -> tuple[int, int]:
        client = dev_client()
        function = client.create_function(fn_id="f", trigger=TRIGGER)(lambda ctx: release.wait(10))
        request = asyncio.ensure_future(make_handler(client, function).ahandle(post("app-f", BODY)))
        turns = 0
        while turns < 50:
            await asyncio.sleep(0.0001)
            turns += 1
        assert not request.done()
        release.set()  # only a loop that turns comes here
        return turns, (await request).status

    assert (50, 200) == asyncio.run(scenario())


def test_sync_functions_run_at_the_same_time_under_a_loop() -> None:
    meeting = threading.Barrier(3, timeout=10)

    async def scenario() -> list[int]:
        client = dev_client()
        function = client.create_function(fn_id="f", trigger=TRIGGER)(lambda ctx: meeting.wait())
        handler = make_handler(client, function)
        requests = [handler.ahandle(post("app-f", BODY)) for _ in range(3)]
        return [reply.status for reply in await asyncio.gather(*requests)]

    assert [200] * 3 == asyncio.run(scenario())


def test_without_a_pool_a_sync_function_runs_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "0")

    assert threading.current_thread().name == serve_one("ahandle", lambda ctx: threading.current_thread().name).json


def test_async_functions_under_threads_share_one_loop_that_lives_on() -> None:
    loops: list[int] = []
    kept: list[asyncio.Future[None]] = []

    async def handler(ctx: core.Context) -> bool:
        del ctx
        loops.append(id(asyncio.get_running_loop()))
        alive = all(not future.get_loop().is_closed() for future in kept)
        kept.append(asyncio.get_running_loop().create_future())
        return alive

    replies = [serve_one("handle", handler).json for _ in range(3)]

    assert [True] * 3 == replies
    assert 1 == len(set(loops))


def test_async_functions_under_many_threads_are_served_at_the_same_time() -> None:
    arrived: list[int] = []

    async def handler(ctx: core.Context) -> int:
        del ctx
        arrived.append(1)
        while len(arrived) < 4:
            await asyncio.sleep(0.001)
        return 1

    client = dev_client()
    served = make_handler(client, client.create_function(fn_id="f", trigger=TRIGGER)(handler))
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(served.handle(post("app-f", BODY)).status)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [200] * 4 == statuses


def test_both_colours_live_in_one_app() -> None:
    client = dev_client()
    one = client.create_function(fn_id="one", trigger=TRIGGER)(waits_or_not("sync", lambda: "sync"))
    two = client.create_function(fn_id="two", trigger=TRIGGER)(waits_or_not("async", lambda: "async"))
    handler = make_handler(client, one, two)

    for entry in ENTRIES:
        assert ["sync", "async"] == [
            serve(handler, post(f"app-{name}", BODY), entry=entry).json for name in ("one", "two")
        ]


# State that is too large for the request (5.4)


async def sums_up(ctx: Any) -> list[object]:
    """Look at the event, the events and two memos."""
    first = await ctx.step.run("a", lambda: 0)
    second = await ctx.step.run("b", lambda: 0)
    return [ctx.event.data, [event.data for event in ctx.events], first, second]


def state_server(batch: local_server.Reply, actions: local_server.Reply) -> local_server.LocalServer:
    """Return a server that has the state of a run."""
    replies = {"/v0/runs/01HRUN/batch": batch, "/v0/runs/01HRUN/actions": actions}
    return local_server.LocalServer(lambda request: replies[request.path])


EVENTS = json.dumps([{**EVENT, "data": {"n": n}} for n in (7, 8)]).encode()
MEMOS = json.dumps({hashed("a"): {"data": 1}, hashed("b"): None}).encode()
LARGE = json.dumps(call_body(use_api=True, events=[], stack=[hashed("a"), hashed("b")])).encode()


@four_ways
def test_large_state_is_fetched(entry: str, colour: str) -> None:
    with state_server(local_server.Reply(200, EVENTS), local_server.Reply(200, MEMOS)) as server:
        client = cloud_client(api_base_url=server.origin, env="feature")
        reply = serve(app(colour, client=client, body=sums_up), signed(LARGE), entry=entry)

    assert (200, [{"n": 1}, [{"n": 7}, {"n": 8}], 1, None]) == (reply.status, reply.json)
    assert ["/v0/runs/01HRUN/actions", "/v0/runs/01HRUN/batch"] == sorted(request.path for request in server.requests)
    token = _signature.hash_signing_key(KEY)
    for request in server.requests:
        assert ("GET", f"Bearer {token}", "feature") == (
            request.method,
            request.headers["authorization"],
            request.headers["x-inngest-env"],
        )


def test_large_state_is_fetched_with_the_fallback_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    accepted = f"Bearer {_signature.hash_signing_key(OTHER_KEY)}"

    def answer(request: local_server.Recorded) -> local_server.Reply:
        if request.headers["authorization"] != accepted:
            return local_server.Reply(401, b"no")
        return local_server.Reply(200, EVENTS if request.path.endswith("batch") else MEMOS)

    with local_server.LocalServer(answer) as server:
        reply = serve(app(client=cloud_client(api_base_url=server.origin), body=sums_up), signed(LARGE))

    assert (200, 4) == (reply.status, len(server.requests))


@pytest.mark.parametrize(
    ("batch", "actions", "message"),
    [
        (local_server.Reply(200, b"{}"), None, "batch data is not an array"),
        (local_server.Reply(200, b"<html>"), None, "batch data is not an array"),
        (None, local_server.Reply(200, b"[]"), "step data is not an object"),
        (None, local_server.Reply(200, b"\xff"), "step data is not an object"),
        (local_server.Reply(401, b"Authentication failed"), None, "HTTP error: 401 Authentication failed"),
        (None, local_server.Reply(410, b'{"error":"gone"}'), 'HTTP error: 410 {"error":"gone"}'),
        (None, local_server.Reply(500, b""), "HTTP error: 500"),
        (local_server.Reply(drop=True), None, "could not be fetched"),
    ],
)
@every_entry
def test_large_state_that_cannot_be_had_is_an_answer_with_our_headers(
    entry: str, batch: local_server.Reply | None, actions: local_server.Reply | None, message: str
) -> None:
    with state_server(batch or local_server.Reply(200, EVENTS), actions or local_server.Reply(200, MEMOS)) as server:
        reply = serve(app(client=cloud_client(api_base_url=server.origin), body=sums_up), signed(LARGE), entry=entry)

    assert 500 == reply.status
    assert message in reply.json["message"]
    assert "x-inngest-sdk" in reply.headers
    assert "x-inngest-no-retry" not in reply.headers


# The logger


class Lines:
    """A logger that keeps what it is told."""

    name = "lines"

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, line: str) -> None:
        self.lines.append(line)

    def error(self, line: str, *args: object, **kwargs: object) -> None:
        self.lines.append(line % args)


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ValueError("boom"), True),
        (core.NonRetriableError("boom"), True),
        (core.NonRetriableError("boom", quiet=True), False),
        (core.RetryAfterError("boom", 1000, quiet=True), False),
    ],
)
def test_a_failure_is_logged_with_function_and_run(colour: str, error: Exception, logged: bool) -> None:
    lines = Lines()

    async def body(ctx: Any) -> None:
        del ctx
        raise error

    call(colour, body, client=dev_client(logger=lines))

    assert logged == (lines.lines != [])
    assert not logged or all(part in lines.lines[0] for part in ("app-f", "01HRUN", "boom"))


def test_a_failed_step_is_logged_by_name(colour: str) -> None:
    lines = Lines()

    async def body(ctx: Any) -> object:
        return await ctx.step.run("charge", dict[str, str]().__getitem__, "key")

    call(colour, body, client=dev_client(logger=lines))

    assert "'charge'" in lines.lines[0]
    assert "KeyError" in lines.lines[0]
