"""Sending events to a real server: what is sent, what is retried, what comes back (protocol.md section 8)."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import re
import socket
import threading
import time
import warnings
import weakref
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import errors
from stepserve_core._runtime import AsyncRuntime, SyncRuntime
from stepserve_core._version import VERSION
from tests.core import local_server
from tests.core.calls import call, cloud_client, dev_client, hashed
from tests.core.local_server import LocalServer, Recorded, Reply, serving

OK = Reply(200, b'{"ids":["e1"],"status":200}')
BROKEN = Reply(503, b'{"status":503,"error":"busy"}')
DROPPED = Reply(drop=True)
EVENT = core.Event(name="shop/order", data={"n": 1}, ts=1_700_000_000_123)


def send(colour: str, client: core.Inngest, events: Any = EVENT) -> list[str]:
    """Send with `send_sync`, or with `send` on a fresh event loop."""
    return client.send_sync(events) if colour == "sync" else asyncio.run(client.send(events))


def to(server: LocalServer, **options: Any) -> core.Inngest:
    """Return a client whose events go to `server`."""
    return cloud_client(event_api_base_url=server.origin, **options)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the pauses between attempts instead of making them."""
    noted: list[float] = []

    async def pause(self: object, seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(SyncRuntime, "sleep", pause)
    monkeypatch.setattr(AsyncRuntime, "sleep", pause)
    return noted


# What is sent


def test_one_event_is_sent_as_a_list(colour: str) -> None:
    with serving(OK) as server:
        assert ["e1"] == send(colour, to(server, env="feature"))

    (sent,) = server.requests
    assert ("POST", "/e/ek") == (sent.method, sent.path)
    assert [{"name": "shop/order", "data": {"n": 1}, "ts": 1_700_000_000_123}] == sent.json()
    ours = {name: value for name, value in sent.headers.items() if name.startswith(("x-", "auth", "user", "content-t"))}
    assert {
        "content-type": "application/json",
        "user-agent": f"inngest-py:v{VERSION}",
        "x-inngest-env": "feature",
        "x-inngest-event-id-seed": ours["x-inngest-event-id-seed"],
        "x-inngest-req-version": "2",
        "x-inngest-sdk": f"inngest-py:v{VERSION}",
    } == ours


def test_several_events_are_sent_at_once(colour: str) -> None:
    with serving(Reply(200, b'{"ids":["a","b"]}')) as server:
        ids = send(colour, to(server), [EVENT, core.Event(name="other", id="mine")])

    sent: Any = server.requests[0].json()
    assert ["a", "b"] == ids
    assert [{"data", "name", "ts"}, {"data", "name", "ts", "id"}] == [set(event) for event in sent]
    assert "mine" == sent[1]["id"]


def test_an_event_without_a_time_is_sent_with_the_present_one(colour: str) -> None:
    before = int(time.time() * 1000)
    with serving(OK) as server:
        send(colour, to(server), core.Event(name="x"))

    sent: Any = server.requests[0].json()
    assert before <= sent[0]["ts"] <= time.time() * 1000


def test_no_events_are_not_sent(colour: str) -> None:
    with serving(OK) as server:
        assert [] == send(colour, to(server), [])

    assert [] == server.requests


def test_the_seed_has_the_form_from_which_the_server_derives_ids(colour: str) -> None:
    with serving(OK) as server:
        for _ in range(2):
            send(colour, to(server))

    seeds = [request.headers["x-inngest-event-id-seed"] for request in server.requests]
    for seed in seeds:
        assert re.fullmatch(r"\d{13},[A-Za-z0-9+/]{14}==", seed)
        assert 10 == len(base64.b64decode(seed.partition(",")[2]))
    assert 2 == len(set(seeds))


@pytest.mark.parametrize(("key", "path"), [("ek", "/e/ek"), ("a/b?c", "/e/a%2Fb%3Fc"), ("../../x", "/e/..%2F..%2Fx")])
def test_the_event_key_is_one_part_of_the_path(colour: str, key: str, path: str) -> None:
    with serving(OK) as server:
        send(colour, to(server, event_key=key))

    assert path == server.requests[0].path


def test_in_dev_mode_no_event_key_is_needed(colour: str) -> None:
    with serving(OK) as server:
        send(colour, dev_client(event_api_base_url=server.origin))

    assert "/e/NO_EVENT_KEY_SET" == server.requests[0].path


def test_production_without_an_event_key_is_refused_and_names_the_variable(colour: str) -> None:
    with serving(OK) as server:
        client = to(server, event_key=None)

        with pytest.raises(errors.EventKeyUnspecifiedError, match="INNGEST_EVENT_KEY"):
            send(colour, client)

    assert [] == server.requests


def test_a_path_in_the_origin_is_dropped(colour: str) -> None:
    with serving(OK) as server:
        send(colour, cloud_client(event_api_base_url=f"{server.origin}/some/path"))

    assert "/e/ek" == server.requests[0].path


# Retries


@pytest.mark.parametrize("failures", [1, 4])
@pytest.mark.parametrize("failure", [BROKEN, DROPPED, Reply(500, b""), Reply(599, b"x")])
def test_a_server_that_stumbles_is_tried_again_with_the_same_seed(
    colour: str, failures: int, failure: Reply, pauses: list[float]
) -> None:
    with serving(*[failure] * failures, OK) as server:
        assert ["e1"] == send(colour, to(server))

    assert failures + 1 == len(server.requests)
    assert 1 == len({(request.headers["x-inngest-event-id-seed"], request.body) for request in server.requests})
    assert failures == len(pauses)


def test_after_five_attempts_we_give_up(colour: str, pauses: list[float]) -> None:
    with serving(BROKEN) as server, pytest.raises(errors.SendEventsError) as caught:
        send(colour, to(server))

    assert 5 == len(server.requests)
    assert [] == caught.value.ids
    assert "5 attempts" in str(caught.value)
    assert "HTTP 503" in str(caught.value)
    assert "busy" in str(caught.value)
    assert all(0.1 * 2**n <= pause <= 0.1 * 2**n + 0.1 for n, pause in enumerate(pauses))
    assert 4 == len(pauses)


@pytest.mark.usefixtures("pauses")
def test_a_server_that_never_answers_is_an_error_that_says_so(colour: str) -> None:
    with serving(DROPPED) as server, pytest.raises(errors.SendEventsError) as caught:
        send(colour, to(server))

    assert 5 == len(server.requests)
    assert [] == caught.value.ids


@pytest.mark.usefixtures("pauses")
def test_a_server_that_is_not_there_is_an_error_that_says_so(colour: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = cloud_client(event_api_base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")

        with pytest.raises(errors.SendEventsError, match="ConnectError"):
            send(colour, client)


def test_a_server_that_takes_too_long_is_given_up(colour: str, pauses: list[float]) -> None:
    release = threading.Event()

    def answer(_request: Recorded) -> Reply:
        release.wait(5)
        return OK

    with LocalServer(answer) as server:
        with pytest.raises(errors.SendEventsError, match="Timeout"):
            send(colour, to(server, request_timeout=20))
        release.set()

    assert 4 == len(pauses)  # between five attempts


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 499])
def test_a_refusal_is_final(colour: str, status: int, pauses: list[float]) -> None:
    with serving(Reply(status, b'{"error":"no"}')) as server, pytest.raises(errors.SendEventsError, match=r"^no$"):
        send(colour, to(server))

    assert (1, []) == (len(server.requests), pauses)


# Answers


@pytest.mark.parametrize(
    ("reply", "message", "ids"),
    [
        (Reply(400, b'{"ids":["a"],"status":400,"error":"bad event"}'), "bad event", ["a"]),
        (Reply(200, b'{"ids":["a",""],"error":"some failed"}'), "some failed", ["a"]),
        (Reply(401, b'{"status":401,"error":"Event key not found"}'), "Event key not found", []),
        (Reply(404, b"{}"), "HTTP 404", []),
        (Reply(404, b'{"ids":["a"]}'), "HTTP 404", ["a"]),
        (Reply(404, b"page not found"), "page not found", []),
        (Reply(200, b"<html>proxy</html>"), "<html>proxy</html>", []),
        (Reply(200, b""), "(empty)", []),
        (Reply(200, b"\xff\xfe"), "HTTP 200", []),
        (Reply(200, b"[]"), "HTTP 200", []),
        (Reply(200, b'{"ids":[1]}'), "HTTP 200", []),
        (Reply(200, b'{"ids":"a"}'), "HTTP 200", []),
    ],
)
def test_a_partial_or_unreadable_answer_is_an_error_with_the_ids_that_were_taken(
    colour: str, reply: Reply, message: str, ids: list[str]
) -> None:
    with serving(reply) as server, pytest.raises(errors.SendEventsError) as caught:
        send(colour, to(server))

    assert 1 == len(server.requests)
    assert message in str(caught.value)
    assert ids == caught.value.ids


@pytest.mark.parametrize(
    ("body", "expected"), [(b'{"ids":["a"],"x":1}', ["a"]), (b'{"ids":null}', []), (b'{"ids":["a"],"error":""}', ["a"])]
)
def test_an_answer_may_have_more_or_less(colour: str, body: bytes, expected: list[str]) -> None:
    with serving(Reply(200, body)) as server:
        assert expected == send(colour, to(server))


# Events that cannot be sent


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": None}, "needs a name"),
        ({"name": 5}, "needs a name"),
        ({"name": "x", "data": [1]}, "data must be a mapping"),
        ({"name": "x", "data": "text"}, "data must be a mapping"),
        ({"name": "x", "id": 5}, "id must be text"),
        ({"name": "x", "ts": "now"}, "ts must be Unix milliseconds"),
        ({"name": "x", "ts": 1.5}, "ts must be Unix milliseconds"),
        ({"name": "x", "ts": True}, "ts must be Unix milliseconds"),
    ],
)
def test_a_bad_event_is_refused_when_it_is_made_and_when_it_is_sent(
    colour: str, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(errors.EventInvalidError, match=complaint):
        core.Event(**fields)

    event = core.Event(name="fine")
    for name, value in fields.items():
        setattr(event, name, value)
    with serving(OK) as server, pytest.raises(errors.EventInvalidError, match=complaint):
        send(colour, to(server), [EVENT, event])

    assert [] == server.requests


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"a": [object()]}, "at a[0]"),
        ({"a": {"b": float("nan")}}, "at a.b"),
        ({"a": float("inf")}, "at a"),
        ({"a": "\ud800"}, "at a"),
    ],
)
def test_data_that_json_cannot_carry_is_refused_with_its_place(
    colour: str, data: dict[str, Any], complaint: str
) -> None:
    with serving(OK) as server, pytest.raises(errors.EventInvalidError) as caught:
        send(colour, to(server), core.Event(name="shop/order", data=data))

    assert [] == server.requests
    assert "event 'shop/order'" in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("wrong", [{"name": "x"}, "x", 5, None])
def test_what_is_no_event_is_refused_with_its_place_in_the_list(colour: str, wrong: Any) -> None:
    with serving(OK) as server, pytest.raises(errors.EventInvalidError, match="item 1 is not an Event"):
        send(colour, to(server), [EVENT, wrong])

    assert [] == server.requests


@pytest.mark.parametrize("wrong", [{"name": "x"}, "x", 5, None])
def test_what_is_neither_an_event_nor_a_list_is_refused(colour: str, wrong: Any) -> None:
    with serving(OK) as server, pytest.raises(errors.EventInvalidError, match="Event"):
        send(colour, to(server), wrong)

    assert [] == server.requests


def test_too_many_events_are_refused(colour: str) -> None:
    with serving(OK) as server, pytest.raises(errors.EventInvalidError, match="at most 5000"):
        send(colour, to(server), [EVENT] * 5001)

    assert [] == server.requests


def test_data_may_hold_what_outputs_may_hold(colour: str) -> None:
    class Model:
        def model_dump(self, *, mode: str) -> dict[str, str]:
            return {"mode": mode}

    with serving(OK) as server:
        send(colour, to(server), core.Event(name="x", data={"model": Model(), "tuple": (1, 2)}))

    sent: Any = server.requests[0].json()
    assert {"model": {"mode": "json"}, "tuple": [1, 2]} == sent[0]["data"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"name": "x", "data": {"k": 1}, "id": "i", "ts": 5, "user": {}, "v": "1"}, ("x", {"k": 1}, "i", 5)),
        ('{"name":"x"}', ("x", {}, "", 0)),
        (b'{"name":"x","data":null}', ("x", {}, "", 0)),
        ({"name": "x", "data": None}, ("x", {}, "", 0)),
    ],
)
def test_an_event_is_read_from_json(raw: Any, expected: tuple[Any, ...]) -> None:
    event = core.Event.from_raw(raw)

    assert isinstance(event, core.Event)
    assert expected == (event.name, event.data, event.id, event.ts)
    assert dict(zip(("name", "data", "id", "ts"), expected, strict=True)) == event.to_dict()


@pytest.mark.parametrize(
    "raw", [{}, {"name": ""}, {"name": 5}, "", "x", b"\xff", "[]", 5, None, {"name": "x", "ts": "y"}]
)
def test_what_is_no_event_cannot_be_read_as_one(raw: Any) -> None:
    assert isinstance(core.Event.from_raw(raw), errors.EventInvalidError)
    with pytest.raises(errors.EventInvalidError):
        core.Event.model_validate(raw)


def test_an_event_keeps_its_data_when_the_dict_is_used_again() -> None:
    data: dict[str, Any] = {"n": 1, "items": [{"k": 1}], "pair": ({"p": 1},)}
    event = core.Event(name="x", data=data)

    data["n"] = 2
    data["items"][0]["k"] = 2
    data["pair"][0]["p"] = 2

    assert {"n": 1, "items": [{"k": 1}], "pair": ({"p": 1},)} == event.data


def test_an_event_can_be_dumped_and_copied_as_a_pydantic_model_can() -> None:
    event = core.Event(name="x", data={"k": (1,)})

    assert {"name": "x", "data": {"k": (1,)}, "id": "", "ts": 0} == event.model_dump()
    assert {"name": "x", "data": {"k": [1]}, "id": "", "ts": 0} == event.model_dump(mode="json")
    assert '{"name":"x","data":{"k":[1]},"id":"","ts":0}' == event.model_dump_json()
    assert core.Event(name="y", data={"k": (1,)}) == event.model_copy(update={"name": "y"})


# In a step


def test_a_step_sends_once_and_gives_the_ids(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", [core.Event(name="x"), core.Event(name="y")])

    with serving(Reply(200, b'{"ids":["a","b"]}')) as server:
        client = dev_client(event_api_base_url=server.origin)
        (op,) = call(colour, body, client=client).json
        done = call(colour, body, client=client, steps={op["id"]: {"data": op["data"]}})

    assert ("StepRun", None, ["a", "b"]) == (op["op"], op["opts"], op["data"])
    assert (200, ["a", "b"]) == (done.status, done.json)
    assert 1 == len(server.requests)


def test_what_a_step_sends_again_has_the_same_ids(colour: str) -> None:
    """The server then starts no second run; ids that the user gave stay, and no step shares them with another."""

    def sending(step: str) -> Any:
        async def body(ctx: Any) -> object:
            events = [core.Event(name="x"), core.Event(name="x"), core.Event(name="x", id="mine")]
            return await ctx.step.send_event(step, events)

        return body

    with serving(Reply(200, b'{"ids":["a","b","c"]}')) as server:
        client = dev_client(event_api_base_url=server.origin)
        for step, run_id in (("a", "run-1"), ("a", "run-1"), ("b", "run-1"), ("a", "run-2")):
            call(colour, sending(step), client=client, run_id=run_id)
        first, again, of_other_step, of_other_run = (
            [event["id"] for event in json.loads(request.body)] for request in server.requests
        )

    assert [f"run-1-{hashed('a')}-0", f"run-1-{hashed('a')}-1", "mine"] == first == again
    assert [f"run-1-{hashed('b')}-0", f"run-1-{hashed('b')}-1", "mine"] == of_other_step
    assert [f"run-2-{hashed('a')}-0", f"run-2-{hashed('a')}-1", "mine"] == of_other_run


@pytest.mark.usefixtures("pauses")
def test_a_step_that_cannot_send_fails(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", core.Event(name="x"))

    with serving(Reply(400, b'{"error":"bad"}')) as server:
        (op,) = call(colour, body, client=dev_client(event_api_base_url=server.origin)).json

    assert ("StepError", "SendEventsError", "send_event_failed", "bad") == (
        op["op"],
        op["error"]["name"],
        op["error"]["code"],
        op["error"]["message"],
    )


# Event loops and threads


def test_a_hundred_event_loops_one_after_the_other() -> None:
    with serving(OK) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        client = to(server)
        for _ in range(100):
            assert [["e1"], ["e1"]] == asyncio.run(_send_twice(client))
        gc.collect()

    assert 200 == len(server.requests)


async def _send_twice(client: core.Inngest) -> list[list[str]]:
    return [await client.send(EVENT) for _ in range(2)]


def test_connections_are_used_again_within_a_loop() -> None:
    with serving(OK) as server:
        client = to(server)

        async def scenario() -> None:
            for _ in range(5):
                await client.send(EVENT)

        asyncio.run(scenario())

    assert (5, 1) == (len(server.requests), len(server.connections))


def test_connections_are_used_again_by_sync_sends() -> None:
    with serving(OK) as server:
        client = to(server)
        for _ in range(5):
            client.send_sync(EVENT)

    assert (5, 1) == (len(server.requests), len(server.connections))


def test_many_sends_at_once_on_one_loop() -> None:
    with serving(OK) as server:
        client = to(server)

        async def scenario() -> list[list[str]]:
            return list(await asyncio.gather(*[client.send(EVENT) for _ in range(30)]))

        assert [["e1"]] * 30 == asyncio.run(scenario())

    assert 30 == len({request.headers["x-inngest-event-id-seed"] for request in server.requests})


@pytest.mark.parametrize("how", ["sync", "async"])
def test_many_threads_send_at_once(how: str) -> None:
    results: list[list[str]] = []
    with serving(OK) as server:
        client = to(server)
        threads = [threading.Thread(target=lambda: results.append(send(how, client))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert [["e1"]] * 20 == results


def test_sync_sends_work_inside_a_running_loop() -> None:
    with serving(OK) as server:
        client = to(server)

        async def scenario() -> list[str]:
            return client.send_sync(EVENT)

        assert ["e1"] == asyncio.run(scenario())


def test_a_loop_that_has_ended_leaves_no_client_behind() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def scenario(client: core.Inngest) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.send(EVENT)

    with serving(OK) as server:
        for _ in range(3):
            asyncio.run(scenario(to(server)))
    gc.collect()

    assert [None] * 3 == [loop() for loop in loops]


def test_the_body_of_a_large_batch_arrives_whole(colour: str) -> None:
    events = [core.Event(name="x", data={"text": "ü" * 1000, "n": n}) for n in range(500)]
    with serving(OK) as server:
        send(colour, to(server), events)

    sent: Any = json.loads(server.requests[0].body)
    assert list(range(500)) == [event["data"]["n"] for event in sent]


def test_an_answer_of_another_server_is_never_mistaken(colour: str) -> None:
    def answer(request: local_server.Recorded) -> Reply:
        ids = [event["data"]["n"] for event in json.loads(request.body)]
        return Reply(200, json.dumps({"ids": [str(n) for n in ids]}).encode())

    with LocalServer(answer) as server:
        client = to(server)
        for n in range(5):
            assert [str(n)] == send(colour, client, core.Event(name="x", data={"n": n}))


def test_the_event_key_is_not_logged(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="httpx")
    with serving(OK) as server:
        client = to(server)
        send(colour, client)

    assert [True, False] == [text in caplog.text for text in ("/e/… ", str(client.event_key))]
