"""What an app tells about itself, and the trust probe (protocol.md 4.1, 4.7)."""

from __future__ import annotations

import socket

import pytest

from stepserve.testing.contract.fixtures import Make, make_client
from stepserve.testing.contract.gate import PATIENCE
from stepserve.testing.contract.harness import OTHER_METHODS, Harness, Reply
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import EVENT_KEY, KEY, KEY_HASH, PATH, SIGNATURE, App, assert_signed, sign

HEADERS = {
    "content-type": "application/json",
    "x-inngest-expected-server-kind": "cloud",
    "x-inngest-req-version": "2",
    "x-inngest-sdk-handled": "true",
}


def test_a_signed_request_learns_about_the_app(app: App, harness: Harness, recorder: Recorder, colour: str) -> None:
    reply = app.request("GET")
    told = reply.json()

    assert_signed(reply)
    assert reply.status == 200
    assert told.pop("sdk_version") == reply.headers["x-inngest-sdk"].removeprefix("inngest-py:v")
    assert told == {
        "api_origin": recorder.origin,
        "app_id": "shop",
        "authentication_succeeded": True,
        "capabilities": {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"},
        "env": None,
        "event_api_origin": recorder.origin,
        "event_key_hash": "5e930b1b2b6c65de47679df72b3a7316a54a84f4b0d1e2159f483657fba3be43",
        "framework": harness.FRAMEWORK,
        "function_count": 15 if colour == "def" else 16,
        "has_event_key": True,
        "has_signing_key": True,
        "has_signing_key_fallback": False,
        "mode": "cloud",
        "schema_version": "2024-05-24",
        "sdk_language": "py",
        "serve_origin": None,
        "serve_path": None,
        "signing_key_fallback_hash": None,
        "signing_key_hash": KEY_HASH,
    }


def test_no_reply_holds_a_key(app: App) -> None:
    replies = [app.request("GET"), app.request("POST", b"{}"), app.send("GET", PATH)]

    for reply in replies:
        text = reply.body.decode() + str(reply.headers)
        assert KEY.rpartition("-")[2] not in text
        assert f'"{EVENT_KEY}"' not in text


def test_every_response_has_the_headers_of_an_sdk(app: App, harness: Harness) -> None:
    for reply in (app.request("GET"), app.request("POST", b"nonsense"), app.request("PUT", b"")):
        assert {name: reply.headers[name] for name in HEADERS} == HEADERS
        assert reply.headers["x-inngest-framework"] == harness.FRAMEWORK
        assert reply.headers["x-inngest-sdk"] == reply.headers["user-agent"]
        assert reply.headers["server-timing"].startswith("comm_handler;dur=")


def test_dev_mode_tells_everybody_a_little(dev_app: App, colour: str) -> None:
    reply = dev_app.send("GET", PATH)

    assert reply.status == 200
    assert reply.headers["x-inngest-expected-server-kind"] == "dev"
    assert reply.json() == {
        "function_count": 15 if colour == "def" else 16,
        "has_event_key": True,
        "has_signing_key": True,
        "has_signing_key_fallback": False,
        "mode": "dev",
        "schema_version": "2024-05-24",
    }


def test_a_server_of_the_other_kind_is_turned_away(app: App) -> None:
    reply = app.request("GET", headers=[("x-inngest-server-kind", "dev")])

    assert reply.status == 403
    assert reply.body == b"{}"


@pytest.mark.parametrize("kind", ["cloud", "something new"])
def test_servers_of_the_right_or_an_unknown_kind_are_served(app: App, kind: str) -> None:
    assert app.request("GET", headers=[("x-inngest-server-kind", kind)]).status == 200


def test_the_environment_is_named(harness: Harness, recorder: Recorder, make_functions: Make) -> None:
    client = make_client(recorder, env="feature-7")
    with harness.mount(client, make_functions(client)) as send:
        reply = App(send).request("GET")

    assert reply.headers["x-inngest-env"] == "feature-7"
    assert reply.json()["env"] == "feature-7"


def test_the_trust_probe_is_answered_and_signed(app: App) -> None:
    reply = app.request("POST", query="?probe=trust")

    assert_signed(reply)
    assert reply.status == 200
    assert reply.body == b"null"


def test_the_trust_probe_is_answered_in_dev_mode(dev_app: App) -> None:
    reply = dev_app.send("POST", PATH + "?probe=trust")

    assert reply.status == 200
    assert reply.body == b"null"


def test_an_unknown_probe_is_an_error(app: App) -> None:
    reply = app.request("POST", query="?probe=weather")

    assert reply.status == 500
    assert reply.json()["message"] == "unsupported probe: weather"


@pytest.mark.parametrize("signed", [True, False])
def test_head_is_get_without_the_body(app: App, signed: bool) -> None:
    get, head = (_exchange(app, method, signed=signed) for method in ("GET", "HEAD"))

    assert head.status == get.status == (200 if signed else 401)
    assert get.body != b""
    # Read to the end of the connection: an HTTP client would not look for a body that must not be there.
    assert head.body == b""
    assert _comparable(head) == _comparable(get)
    # A server may leave it out (RFC 9110, section 8.6), but not say something else.
    assert head.headers.get("content-length") in (None, str(len(get.body)))


def _exchange(app: App, method: str, *, signed: bool) -> Reply:
    """Send a request without a body over a socket of our own, and read until the other side closes it."""
    lines = [f"{method} {PATH} HTTP/1.1", "Host: localhost", "Connection: close"]
    if signed:
        lines.append(f"{SIGNATURE}: {sign(b'')}")
    with socket.create_connection(("127.0.0.1", app.send.port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Reply(int(status.split()[1]), {name.lower(): value for name, value in headers.items()}, body)


def _comparable(reply: Reply) -> dict[str, str]:
    """Return the headers that two replies to the same question share."""
    changing = {"date", "server-timing", SIGNATURE}
    framing = {"connection", "content-length", "keep-alive", "transfer-encoding"}
    return {name: value for name, value in reply.headers.items() if name not in changing | framing}


@pytest.mark.parametrize("method", sorted(OTHER_METHODS))
def test_other_methods_are_not_allowed(app: App, harness: Harness, method: str) -> None:
    reply = app.send(method, PATH)
    said = {name for name in reply.headers if name.startswith("x-inngest")}

    if method == "OPTIONS" and harness.ANSWERS_OPTIONS:
        assert (reply.status, said) == (200, set())
    else:
        # What we refuse ourselves says who does, and nothing else about the app.
        assert (reply.status, said) == (405, set() if method in harness.REFUSES else {"x-inngest-sdk-handled"})
        assert {"GET", "POST", "PUT"} <= set(reply.headers["allow"].replace(" ", "").split(","))
