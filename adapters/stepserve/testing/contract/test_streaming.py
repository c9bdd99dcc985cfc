"""Streamed answers: bytes that keep a connection alive, then the answer in an envelope (protocol.md 5.7)."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import pytest

from stepserve import Inngest, Streaming, errors
from stepserve.testing.contract.fixtures import Make, needs_streaming, set_variable
from stepserve.testing.contract.gate import Gate
from stepserve.testing.contract.harness import Harness, Reply
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, SIGNATURE, App, StreamedApp, call_body, step_id, unwrapped

MEGABYTES = 4 * 1024 * 1024
CALL = "?fnId=shop-two-steps&stepId=step"


@pytest.fixture(scope="session")
def streamed_app(harness: Harness, client: Inngest, make_functions: Make) -> Iterator[StreamedApp]:
    """Return an app in production mode that streams."""
    needs_streaming(harness)
    options: dict[str, Any] = {"streaming": Streaming.FORCE}
    with harness.mount(client, make_functions(client), before_request=set_variable, **options) as send:
        yield StreamedApp(send)


def test_a_call_that_takes_long_is_kept_alive(streamed_app: StreamedApp) -> None:
    with Gate.closed() as gate, streamed_app.begin_call("blocks", data={"gate": gate.port}) as connection:
        response = connection.getresponse()
        gate.wait_for(1)
        first = _read(response, 5)
        gate.open()
        headers = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, headers, first + response.read())

    assert first == b"     "
    assert unwrapped(reply).status == 200
    assert unwrapped(reply).json() == "let through"


def _read(response: http.client.HTTPResponse, size: int) -> bytes:
    received = b""
    while len(received) < size and (piece := response.read(1)):
        received += piece
    return received


def test_the_headers_that_leave_first_are_those_of_an_sdk(streamed_app: StreamedApp, harness: Harness) -> None:
    reply = App(streamed_app.send).request("POST", call_body(), query=CALL)

    assert reply.status == 201
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-inngest-framework"] == harness.FRAMEWORK
    assert reply.headers["x-inngest-req-version"] == "2"
    assert reply.headers["x-inngest-sdk"].startswith("inngest-py:v")
    # The body is not known yet, so nothing could be signed; the signature of the real body is in the envelope.
    assert SIGNATURE not in reply.headers
    assert SIGNATURE in unwrapped(reply).headers


def test_a_streamed_run_is_played_to_its_end(streamed_app: StreamedApp) -> None:
    assert streamed_app.play("two-steps") == {"first": 1, "second": 11}
    assert streamed_app.play("parallel") == ["l", "r", None]


def test_a_streamed_answer_has_the_status_of_the_real_one(streamed_app: StreamedApp) -> None:
    reply = streamed_app.call("two-steps")

    assert reply.status == 206
    assert [op["id"] for op in reply.json()] == [step_id("first")]


@pytest.mark.parametrize("function", ["fails", "fails-in-step"])
@pytest.mark.parametrize(
    ("how", "header"), [("somehow", None), ("for good", "x-inngest-no-retry"), ("later", "retry-after")]
)
def test_a_streamed_error_says_whether_to_try_again(
    streamed_app: StreamedApp, function: str, how: str, header: str | None
) -> None:
    reply = streamed_app.call(function, data={"how": how})

    assert reply.status == (206 if (function, how) == ("fails-in-step", "somehow") else 500)
    assert {"x-inngest-no-retry", "retry-after"} & set(reply.headers) == ({header} - {None})


def test_odd_text_is_streamed_as_it_is(streamed_app: StreamedApp) -> None:
    payload: dict[str, Any] = {"text": 'é世😀\u2028\x00"\\{}', "list": [1.5, None, []]}

    assert streamed_app.call("echo", data={"payload": payload}).json() == payload


def test_four_megabytes_are_streamed(streamed_app: StreamedApp) -> None:
    assert streamed_app.call("letters", data={"count": MEGABYTES}).json()[0]["data"] == "x" * MEGABYTES


def test_context_variables_are_visible_to_streamed_calls(streamed_app: StreamedApp, harness: Harness) -> None:
    expected = "set by the framework" if harness.KEEPS_CONTEXT else "nothing"

    assert streamed_app.play("context-variable") == [expected] * 2


@pytest.mark.parametrize(
    ("method", "query", "body", "signed", "status"),
    [
        ("POST", CALL, call_body(), False, 401),
        ("POST", CALL, b"no call", True, 500),
        ("POST", "?fnId=shop-unknown&stepId=step", call_body(), True, 500),
        ("POST", "?probe=trust", b"", True, 200),
        ("GET", "", b"", True, 200),
        ("GET", "", b"", False, 401),
        ("PUT", "", b"", True, 200),
        ("DELETE", "", b"", True, 405),
    ],
)
def test_only_calls_of_functions_are_streamed(
    streamed_app: StreamedApp, method: str, query: str, body: bytes, signed: bool, status: int
) -> None:
    send = streamed_app.send
    reply = App(send).request(method, body, query=query) if signed else send(method, PATH + query, body)

    assert reply.status == status
    assert not reply.body.startswith(b" ")


def test_dev_mode_signs_no_streamed_answer(harness: Harness, recorder: Recorder, make_functions: Make) -> None:
    needs_streaming(harness)
    client = Inngest(app_id="shop", is_production=False, event_key="x", api_base_url=recorder.origin)
    with harness.mount(client, make_functions(client), streaming=Streaming.FORCE) as send:
        reply = unwrapped(send("POST", PATH + CALL, call_body()))

    assert reply.status == 206
    assert SIGNATURE not in reply.headers


@pytest.mark.parametrize(
    ("variable", "streaming", "is_streamed"),
    [
        ("force", None, True),
        ("allow", None, True),
        (" FORCE\n", None, True),
        ("disable", None, False),
        ("nonsense", None, False),
        ("", None, False),
        ("force", Streaming.DISABLE, False),
        ("disable", Streaming.FORCE, True),
    ],
)
@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_streaming_can_be_chosen(
    harness: Harness,
    client: Inngest,
    make_functions: Make,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    streaming: Streaming | None,
    is_streamed: bool,
) -> None:
    if streaming is Streaming.FORCE:
        needs_streaming(harness)
    monkeypatch.setenv("INNGEST_STREAMING", variable)
    with harness.mount(client, make_functions(client), streaming=streaming) as send:
        reply = App(send).request("POST", call_body(), query=CALL)

    # A variable may be meant for other apps: where the server cannot stream, it changes nothing.
    assert reply.status == (201 if is_streamed and harness.STREAMS else 206)


def test_streaming_is_refused_only_where_the_server_cannot(
    harness: Harness, client: Inngest, make_functions: Make
) -> None:
    refused = contextlib.nullcontext() if harness.STREAMS else pytest.raises(errors.ConfigurationError, match="stream")
    with refused:
        app = harness.build(client, make_functions(client), None, streaming=Streaming.FORCE)

        assert app is not None
