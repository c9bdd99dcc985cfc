"""What routes push, and what becomes of it: `stepserve.stream` without a framework."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from stepserve_core import stream
from stepserve_core._endpoint_answer import Plain
from stepserve_core._endpoint_events import LARGEST_PIECE, EndpointEvents, listening
from stepserve_core._pipe import MOST, Pipe
from stepserve_core.errors import EndpointUnsupportedError, OutputUnserializableError


@pytest.fixture(autouse=True)
def nobody_listens() -> Generator[None, None, None]:
    """Begin each test without a client, and leave none behind."""
    token = listening.set(None)
    yield
    listening.reset(token)


class Call:
    """Stands in for a call whose code outside of steps is new, or is replayed."""

    def __init__(self, *, is_repeating: bool = False) -> None:
        self.is_repeating = is_repeating


def hears(*, goes_on: bool = False, is_repeating: bool = False) -> EndpointEvents:
    events = EndpointEvents(Pipe(), goes_on=goes_on)
    call: Any = Call(is_repeating=is_repeating)
    events.run = call
    listening.set(events)
    return events


def heard(events: EndpointEvents) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for one in events.pipe.take().decode().split("\n\n")[:-1]:
        name, _, data = one.partition("\n")
        found.append((name.removeprefix("event: inngest."), json.loads(data.removeprefix("data: "))))
    return found


async def letters() -> AsyncGenerator[str, None]:
    for letter in "abc":
        yield letter


async def push_all() -> list[list[str]]:
    await stream.push({"n": 1})
    return [await stream.pipe(letters()), await stream.pipe("abc")]


def test_nothing_happens_where_nobody_listens() -> None:
    stream.push_sync(1)

    assert (["a"], [list("abc")] * 2) == (stream.pipe_sync("a"), asyncio.run(push_all()))


def test_async_and_sync_code_push_the_same() -> None:
    events = hears()
    piped = asyncio.run(push_all())
    first = heard(events)
    stream.push_sync({"n": 1})
    stream.pipe_sync("abcabc")

    assert [list("abc")] * 2 == piped
    assert [{"data": {"n": 1}}, *({"data": letter} for letter in "abcabc")] == [data for _, data in first]
    assert first == heard(events)


@pytest.mark.parametrize(
    ("data", "error"), [({1, object()}, OutputUnserializableError), ("x" * LARGEST_PIECE, EndpointUnsupportedError)]
)
@pytest.mark.parametrize("listens", [True, False])
def test_what_cannot_be_sent_is_refused_whoever_listens(data: object, error: type[Exception], listens: bool) -> None:
    if listens:
        hears()
    with pytest.raises(error):
        stream.push_sync(data)


def test_code_that_is_replayed_pushes_nothing_again() -> None:
    events = hears(is_repeating=True)
    asyncio.run(push_all())
    stream.push_sync(1)

    assert [] == heard(events)


def test_sync_code_on_an_event_loop_does_not_wait_for_a_slow_client() -> None:
    events = hears()

    async def callback() -> int:
        for number in range(2 * MOST // 1000):
            stream.push_sync("x" * 1000)
            if events.pipe.is_closed:
                return number
        return -1

    assert 0 < asyncio.run(callback()) * 1000 < 1.2 * MOST


def push_for(events: EndpointEvents, *steps: str | None) -> None:
    for step in steps:
        events._put(step, b"1")


def test_what_a_call_keeps_is_final_and_what_will_come_again_is_void() -> None:
    events = hears()
    push_for(events, None, "a", "b")
    events.settle([{"id": "a"}, {"id": "b", "error": {"name": "ValueError"}}, {"id": "c"}])
    names = [(name, data["hashedStepId"]) for name, data in heard(events)[3:]]

    assert [("commit", "a"), ("rollback", None), ("rollback", "b")] == names


def test_code_before_a_wait_is_not_executed_again() -> None:
    events = hears()
    push_for(events, None)
    events.settle([{"id": "nap", "op": "Sleep"}])

    assert [("stream", {"data": 1}), ("commit", {"hashedStepId": None})] == heard(events)


def test_a_call_that_goes_on_takes_back_what_a_dead_one_pushed() -> None:
    events = hears(goes_on=True)
    push_for(events, "a", "a", None)

    assert ["rollback", "stream", "stream", "rollback", "stream"] == [name for name, _ in heard(events)]


@pytest.mark.parametrize(
    ("plain", "status", "response"),
    [
        (Plain(200, {"a": "b"}, b"text"), "succeeded", {"statusCode": 200, "headers": {"a": "b"}, "body": "text"}),
        (Plain(404, {}, b""), "succeeded", {"statusCode": 404, "headers": {}, "body": ""}),
        (Plain(503, {}, b""), "failed", {"statusCode": 503, "headers": {}, "body": ""}),
        (
            Plain(200, {}, b"\xff"),
            "succeeded",
            {"statusCode": 200, "headers": {}, "body": "/w==", "isBase64Encoded": True},
        ),
    ],
)
def test_the_answer_is_the_last_event(plain: Plain, status: str, response: dict[str, Any]) -> None:
    events = hears()
    events.respond(plain)
    events._put(None, b"1")

    assert [("response", {"status": status, "response": response})] == heard(events)
    assert (True, True) == (events.has_ended, events.pipe.is_closed)
