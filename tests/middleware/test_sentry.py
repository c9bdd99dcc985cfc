"""Errors in Sentry: what its own transport is given to send (protocol.md 9.7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import stepserve
from tests.core.calls import EVENT, call, dev_client

sentry_sdk = pytest.importorskip("sentry_sdk", reason="sentry-sdk is not installed")

from sentry_sdk.envelope import Envelope  # noqa: E402 - it is there
from sentry_sdk.transport import Transport  # noqa: E402 - same

from stepserve.experimental.sentry_middleware import SentryMiddleware  # noqa: E402 - same


class Sent(Transport):
    """Keeps what Sentry would send."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[Any] = []
        self.flushed_in: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events.append(envelope.get_event())

    def flush(self, timeout: float, callback: Any = None) -> None:
        self.flushed_in.append(threading.current_thread().name)


@pytest.fixture
def sent() -> Iterator[Sent]:
    """Initialise Sentry with a transport that sends nothing."""
    transport = Sent()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=transport,
        default_integrations=False,
        auto_enabling_integrations=False,
        server_name="test",
    )
    yield transport
    sentry_sdk.get_global_scope().set_client(None)


TAGS = {
    "inngest.app.id": "app",
    "inngest.event.count": 1,
    "inngest.event.id": EVENT["id"],
    "inngest.event.name": "shop/order",
    "inngest.function.id": "f",
    "inngest.function.name": "Name",
    "inngest.run.id": "01HRUN",
}


def serve(colour: str, body: Any, **fields: Any) -> Any:
    """Call a function that has the middleware."""
    client = dev_client(middleware=[SentryMiddleware])
    return call(colour, body, client=client, options={"name": "Name"}, **fields)


async def raises(ctx: Any) -> None:
    """Fail."""
    raise ValueError("boom")


async def fails_in_a_step(ctx: Any) -> object:
    """Fail in a step."""
    return await ctx.step.run("charge", dict[str, str]().__getitem__, "key")


async def speaks(ctx: Any) -> object:
    """Tell Sentry something, and return."""
    sentry_sdk.capture_message("here")
    return "done"


def test_the_error_of_a_function_is_sent_with_tags(colour: str, sent: Sent) -> None:
    serve(colour, raises)

    (event,) = sent.events
    assert [("ValueError", "boom")] == [(error["type"], error["value"]) for error in event["exception"]["values"]]
    assert {name: str(value) for name, value in TAGS.items()} == {name: str(tag) for name, tag in event["tags"].items()}


def test_the_error_of_a_step_is_sent_with_its_name(colour: str, sent: Sent) -> None:
    serve(colour, fails_in_a_step)

    (event,) = sent.events
    assert ("KeyError", "charge") == (event["exception"]["values"][-1]["type"], event["tags"]["inngest.step.id"])


def test_what_the_function_sends_itself_has_the_tags_too(colour: str, sent: Sent) -> None:
    serve(colour, speaks)

    assert [("here", "01HRUN")] == [(event["message"], event["tags"]["inngest.run.id"]) for event in sent.events]


def test_tags_of_one_call_do_not_appear_afterwards(colour: str, sent: Sent) -> None:
    serve(colour, raises)
    sentry_sdk.capture_message("later")

    assert [] == [name for name in sent.events[-1].get("tags") or {} if name.startswith("inngest.")]


@pytest.mark.parametrize("body", [raises, speaks])
def test_what_is_queued_is_sent_before_the_answer_without_blocking_the_loop(colour: str, sent: Sent, body: Any) -> None:
    serve(colour, body)

    (thread,) = sent.flushed_in
    assert (colour == "sync") == (thread == threading.current_thread().name)


def test_whoever_forgot_to_initialise_sentry_is_warned(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    assert (200, "done") == serve(colour, speaks)[:2]
    assert ["SentryMiddleware does nothing: call sentry_sdk.init(dsn=…) while the program starts"] == caplog.messages


def test_sending_events_opens_no_scope(sent: Sent) -> None:
    client = dev_client(middleware=[SentryMiddleware])

    assert [] == client.send_sync([])
    sentry_sdk.capture_message("later")
    assert {} == (sent.events[-1].get("tags") or {})
    assert isinstance(client, stepserve.Inngest)
