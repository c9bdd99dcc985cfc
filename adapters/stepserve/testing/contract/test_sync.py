"""Sync: how a server learns which functions an app has (protocol.md 4.2 to 4.6)."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from stepserve.testing.contract.fixtures import Make, make_client
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import (
    FALLBACK_KEY,
    FALLBACK_KEY_HASH,
    KEY_HASH,
    PATH,
    SIGNATURE,
    App,
    assert_signed,
)

IN_BAND = ("x-inngest-sync-kind", "in_band")
PUBLIC_URL = "https://example.com/inngest"


def _function(identity: str, url: str) -> dict[str, Any]:
    runtime = {"type": "http", "url": f"{url}?fnId={identity}&stepId=step"}
    return {
        "id": identity,
        "name": identity.removeprefix("shop-"),
        "steps": {"step": {"id": "step", "name": "step", "runtime": runtime}},
        "triggers": [{"event": "shop/tested"}],
    }


def test_an_in_band_sync_returns_the_functions(app: App, harness: Harness, recorder: Recorder) -> None:
    reply = app.request("PUT", b'{"url":"https://example.com/inngest?x=1"}', headers=[IN_BAND])
    told = reply.json()
    functions = {function["id"]: function for function in told["functions"]}

    assert_signed(reply)
    assert reply.status == 200
    assert reply.headers["x-inngest-sync-kind"] == "in_band"
    assert (told["app_id"], told["framework"], told["url"]) == ("shop", harness.FRAMEWORK, PUBLIC_URL)
    assert told["inspection"]["authentication_succeeded"] is True
    assert None not in told["inspection"].values()
    assert functions["shop-two-steps"] == _function("shop-two-steps", PUBLIC_URL)
    assert functions["shop-refund-failure"]["triggers"] == [
        {"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-refund'"}
    ]
    assert recorder.requests == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"url":5}', b"hello", b"[]"])
def test_an_in_band_sync_needs_a_url(app: App, body: bytes) -> None:
    reply = app.request("PUT", body, headers=[IN_BAND])

    assert reply.status == 500
    assert reply.json()["code"] == "body_invalid"


@pytest.mark.parametrize("body", [b"", b'{"url":"http://localhost/somewhere"}'])
def test_an_out_of_band_sync_registers_the_functions(
    app: App, harness: Harness, recorder: Recorder, body: bytes
) -> None:
    reply = app.send("PUT", PATH, body)
    (sent,) = recorder.requests
    told = sent.json()
    url = app.send.origin + PATH

    assert (reply.status, reply.json()) == (200, {"ok": True, "modified": True})
    assert reply.headers["x-inngest-sync-kind"] == "out_of_band"
    assert SIGNATURE not in reply.headers
    assert (sent.method, sent.path) == ("POST", "/fn/register")
    assert sent.headers["authorization"] == f"Bearer {KEY_HASH}"
    assert sent.headers["x-inngest-framework"] == harness.FRAMEWORK
    assert "x-inngest-expected-server-kind" not in sent.headers
    assert (told["appname"], told["framework"], told["url"], told["v"]) == ("shop", harness.FRAMEWORK, url, "0.1")
    assert told["functions"][0] == _function("shop-two-steps", url)


def test_a_sync_in_dev_mode_is_out_of_band(dev_app: App, recorder: Recorder) -> None:
    reply = dev_app.send("PUT", PATH, b'{"url":"http://x.y"}', [IN_BAND])

    assert reply.headers["x-inngest-sync-kind"] == "out_of_band"
    assert [request.path for request in recorder.requests] == ["/fn/register"]


def test_the_deployment_is_named_to_the_server(app: App, recorder: Recorder) -> None:
    app.send("PUT", PATH + "?deployId=a%26b%20c&x=1")

    assert [request.path for request in recorder.requests] == ["/fn/register?deployId=a%26b+c"]
    assert recorder.requests[0].json()["url"] == app.send.origin + PATH


def test_the_kind_of_server_is_passed_on(app: App, recorder: Recorder) -> None:
    app.send("PUT", PATH, headers=[("x-inngest-server-kind", "cloud")])

    assert recorder.requests[0].headers["x-inngest-expected-server-kind"] == "cloud"


@pytest.mark.parametrize(
    ("production", "kind", "names"),
    [(True, "dev", "a Dev Server but expected Cloud"), (False, "cloud", "Cloud but expected Dev Server")],
)
def test_a_sync_from_the_other_kind_of_server_is_refused(
    app: App, dev_app: App, recorder: Recorder, production: bool, kind: str, names: str
) -> None:
    reply = (app if production else dev_app).send("PUT", PATH, headers=[("x-inngest-server-kind", kind)])

    assert reply.status == 400
    assert reply.json() == {"code": "server_kind_mismatch", "message": f"Sync rejected since it's from {names}"}
    assert recorder.requests == []


@pytest.mark.parametrize("by_variable", [True, False])
def test_unsigned_syncs_can_be_forbidden(
    harness: Harness, recorder: Recorder, make_functions: Make, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv("INNGEST_ENABLE_UNAUTHED_SYNC", "false")
    client = make_client(recorder)
    with harness.mount(client, make_functions(client), enable_unauthed_sync=None if by_variable else False) as send:
        unsigned, signed = send("PUT", PATH), App(send).request("PUT")

    assert unsigned.status == 401
    assert signed.status == 200
    assert_signed(signed)
    assert len(recorder.requests) == 1


def test_registration_tries_the_fallback_key_once(
    harness: Harness, recorder: Recorder, make_functions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK_KEY)
    client = make_client(recorder)
    recorder.answer_next(401, b"Authentication failed")
    with harness.mount(client, make_functions(client)) as send:
        reply = send("PUT", PATH)
    sent = [request.headers["authorization"] for request in recorder.requests]

    assert reply.status == 200
    assert sent == [f"Bearer {KEY_HASH}", f"Bearer {FALLBACK_KEY_HASH}"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, b'{"error":"bad cron"}', "HTTP 400: bad cron"),
        (401, b"Authentication failed", "HTTP 401: response is not valid JSON: Authentication failed"),
        (200, b"<html>", "HTTP 200: response is not valid JSON: <html>"),
        (200, b"[]", "HTTP 200: response is not an object"),
        (502, b"\xff\xfe", "HTTP 502"),
    ],
)
def test_a_failed_registration_is_reported(app: App, recorder: Recorder, status: int, body: bytes, says: str) -> None:
    recorder.answer_next(status, body)
    reply = app.send("PUT", PATH)

    assert reply.status == 500
    assert reply.json()["code"] == "registration_failed"
    assert says in reply.json()["message"]


def test_a_server_that_is_down_is_reported(harness: Harness, recorder: Recorder, make_functions: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    client = make_client(recorder, api_base_url=f"http://127.0.0.1:{port}")
    with harness.mount(client, make_functions(client)) as send:
        reply = send("PUT", PATH)

    assert reply.status == 500
    assert reply.json()["code"] == "registration_failed"
    assert f"http://127.0.0.1:{port}/fn/register could not be reached" in reply.json()["message"]


def test_an_app_without_functions_cannot_be_registered(harness: Harness, client: Any, recorder: Recorder) -> None:
    with harness.mount(client, []) as send:
        reply = send("PUT", PATH)

    assert reply.status == 500
    assert reply.json()["code"] == "function_config_invalid"
    assert "no functions found" in reply.json()["message"]
    assert recorder.requests == []
