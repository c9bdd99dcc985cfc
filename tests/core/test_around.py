"""What adapters get from a handler beside answers: contexts around calls, the reported URL, registration."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from stepserve_core import errors
from stepserve_core.handler import Around, Handler, Request
from tests.core import local_server
from tests.core.calls import call_body, cloud_client, define, dev_client, make_handler, post, serve

BODY = json.dumps(call_body()).encode()
URL = "http://app.test/api/inngest"
set_around: ContextVar[str] = ContextVar("set_around", default="nothing")


class Seen:
    """Keeps what happens around calls, and where."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.places: set[object] = set()

    def note(self, event: str) -> None:
        """Keep an event, with its thread."""
        self.events.append(event)
        self.places.add(threading.get_ident())

    @contextlib.contextmanager
    def thread(self) -> Generator[None, None, None]:
        """Surround a call of a `def` function."""
        self.note("thread in")
        yield
        self.note("thread out")

    @contextlib.asynccontextmanager
    async def loop(self) -> AsyncGenerator[None, None]:
        """Surround a call of an `async def` function."""
        self.note("loop in")
        self.places.add(asyncio.get_running_loop())
        set_around.set("something")
        yield
        self.note("loop out")


@pytest.mark.parametrize("entry", ["handle", "ahandle"])
@pytest.mark.parametrize(("colour", "name"), [("sync", "thread"), ("async", "loop")])
def test_a_call_is_surrounded_where_its_function_runs(entry: str, colour: str, name: str) -> None:
    seen = Seen()

    async def body(ctx: Any) -> str:
        del ctx
        seen.note("function")
        if name == "loop":
            seen.places.add(asyncio.get_running_loop())
        return set_around.get()

    client = dev_client()
    handler = make_handler(client, define(client, colour, body), around=Around(seen.thread, seen.loop))
    reply = serve(handler, post("app-f", BODY), entry=entry)

    assert (200, "something" if name == "loop" else "nothing") == (reply.status, reply.json)
    assert [f"{name} in", "function", f"{name} out"] == seen.events
    assert len(seen.places) == (2 if name == "loop" else 1)  # one thread, and one loop in it
    is_in_place = (entry, name) in (("handle", "thread"), ("ahandle", "loop"))
    assert is_in_place == (threading.get_ident() in seen.places)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_what_calls_no_function_is_not_surrounded(colour: str) -> None:
    async def body(ctx: Any) -> None:
        raise AssertionError

    seen, client = Seen(), dev_client()
    handler = make_handler(client, define(client, colour, body), around=Around(seen.thread, seen.loop))
    for request in (Request("GET", URL, {}, b""), Request("POST", f"{URL}?probe=trust", {}, b""), post("app-g", BODY)):
        serve(handler, request)

    assert [] == seen.events


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_an_error_around_a_call_becomes_its_answer(colour: str) -> None:
    @contextlib.contextmanager
    def thread() -> Generator[None, None, None]:
        raise LookupError("no connection")
        yield

    @contextlib.asynccontextmanager
    async def loop() -> AsyncGenerator[None, None]:
        raise LookupError("no connection")
        yield

    async def body(ctx: Any) -> None:
        raise AssertionError

    client = dev_client()
    handler = make_handler(client, define(client, colour, body), around=Around(thread, loop))
    reply = serve(handler, post("app-f", BODY))

    assert (500, "no connection") == (reply.status, reply.json["message"])


async def nothing(ctx: Any) -> None:
    """Return at once."""
    del ctx


def _handler(**options: Any) -> Handler:
    client = cloud_client(api_base_url=options.pop("api_base_url", None))
    return make_handler(client, define(client, "sync", nothing), **options)


def test_the_reported_url_is_known_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, configured = _handler(), _handler(serve_origin="shop.example", public_path="/jobs")
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", "http://from.env")

    assert (None, "shop.example", "http://from.env") == (
        plain.serve_origin,
        configured.serve_origin,
        _handler().serve_origin,
    )
    assert URL == plain.reported_url(f"{URL}?deployId=1")
    assert "https://shop.example/jobs" == configured.reported_url(URL)


def test_an_app_registers_itself_without_a_request() -> None:
    with local_server.serving(local_server.Reply(200, b'{"ok":true,"modified":true}')) as server:
        answer = _handler(api_base_url=server.origin, enable_unauthed_sync=False).register(URL)

    (registered,) = server.requests
    assert {"ok": True, "modified": True} == answer
    assert URL == json.loads(registered.body)["url"]


def test_a_registration_that_is_refused_is_raised() -> None:
    with (
        local_server.serving(local_server.Reply(400, b'{"error":"bad cron"}')) as server,
        pytest.raises(errors.RegistrationFailedError, match="bad cron"),
    ):
        _handler(api_base_url=server.origin).register(URL)


def test_a_function_tells_its_app() -> None:
    assert "app" == define(dev_client(), "sync", nothing).app_id
