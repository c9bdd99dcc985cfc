"""Sending events, from functions and from anywhere else (protocol.md section 8)."""

from __future__ import annotations

import asyncio
import threading

from stepserve import Event, Inngest
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import EVENT_KEY, App, step_id


def test_a_step_sends_events_and_remembers_their_ids(app: App, recorder: Recorder) -> None:
    first = app.call("sends")
    again = app.call("sends", steps={step_id("send"): {"data": first.json()[0]["data"]}})
    (sent,) = recorder.requests

    assert (first.status, first.json()[0]["op"], first.json()[0]["data"]) == (206, "StepRun", ["event-0", "event-1"])
    assert again.json() == ["event-0", "event-1"]
    assert sent.path == f"/e/{EVENT_KEY}"
    assert [event["name"] for event in sent.json()] == ["shop/one", "shop/two"]


def test_every_call_of_a_process_can_send(app: App, recorder: Recorder) -> None:
    replies = [app.call("sends") for _ in range(10)]

    assert [reply.json()[0]["op"] for reply in replies] == ["StepRun"] * 10
    assert len(recorder.requests) == 10


def test_a_refused_event_fails_the_step(app: App, recorder: Recorder) -> None:
    recorder.answer_next(400, b'{"error":"bad event","status":400}')
    (op,) = app.call("sends").json()

    assert op["op"] == "StepError"
    assert op["error"]["name"] == "SendEventsError"
    assert "bad event" in op["error"]["message"]


def test_events_can_be_sent_from_many_event_loops(client: Inngest, recorder: Recorder) -> None:
    ids = [asyncio.run(client.send(Event(name="shop/sent"))) for _ in range(20)]

    assert ids == [["event-0"]] * 20
    assert len(recorder.requests) == 20


def test_events_can_be_sent_from_several_loops_that_live_at_the_same_time(client: Inngest, recorder: Recorder) -> None:
    loops = [asyncio.new_event_loop() for _ in range(3)]
    ids = [loop.run_until_complete(client.send(Event(name="shop/sent"))) for loop in [*loops, *loops]]
    for loop in loops:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    assert ids == [["event-0"]] * 6
    assert len(recorder.requests) == 6


def test_events_can_be_sent_several_times_on_one_loop(client: Inngest, recorder: Recorder) -> None:
    async def send_all() -> list[list[str]]:
        one_by_one = [await client.send(Event(name="shop/sent")) for _ in range(3)]
        together = await asyncio.gather(*[client.send(Event(name="shop/sent")) for _ in range(3)])
        return [*one_by_one, *together]

    assert asyncio.run(send_all()) == [["event-0"]] * 6
    assert len(recorder.requests) == 6


def test_events_can_be_sent_from_threads_and_inside_of_a_loop(client: Inngest, recorder: Recorder) -> None:
    sent: list[list[str]] = []
    threads = [threading.Thread(target=lambda: sent.append(client.send_sync(Event(name="a/b")))) for _ in range(4)]

    async def send_sync() -> list[str]:
        return client.send_sync([Event(name="shop/sent"), Event(name="shop/sent")])

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sent == [["event-0"]] * 4
    assert asyncio.run(send_sync()) == ["event-0", "event-1"]
    assert len(recorder.requests) == 5
