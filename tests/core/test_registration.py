"""Introspection, sync and the trust probe, against a real server where one is called (protocol.md section 4)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import errors
from stepserve_core._protocol import Request
from stepserve_core._registration import serve_url
from stepserve_core._version import VERSION
from stepserve_core.handler import Handler
from tests.core import local_server
from tests.core.calls import KEY, OTHER_KEY, TRIGGER, Reply, cloud_client, dev_client, make_handler, serve, sign

URL = "http://app.test/api/inngest"
HASHES = {
    KEY: "e4bf4a2e7f55c7eb954b6e72f8f69628fbc409fe7da6d0f6958770987dcf0e02",
    OTHER_KEY: "b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c",
}
OK = local_server.Reply(200, b'{"ok":true,"modified":true,"sync_id":"s","app_id":"a"}')


def failing(ctx: core.ContextSync) -> None:
    """Do nothing."""
    del ctx


def app(client: core.Inngest, **options: Any) -> Handler:
    """Return a handler for a function with a failure handler, and another one."""
    with_failure = client.create_function(fn_id="f", trigger=TRIGGER, on_failure=failing)(lambda ctx: None)
    plain = client.create_function(fn_id="g", trigger=TRIGGER, retries=2)(lambda ctx: None)
    return make_handler(client, with_failure, plain, **options)


def request(method: str, url: str = URL, body: bytes = b"", *, key: str | None = None, **headers: Any) -> Request:
    """Return a request; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        named["x-inngest-signature"] = sign(body, key)
    return Request(method, url, named, body)


ENTRIES = ("handle", "ahandle")
entries = pytest.mark.parametrize("entry", ENTRIES)


# Introspection (4.1)


@entries
def test_in_dev_mode_introspection_has_exactly_the_six_keys(entry: str) -> None:
    reply = serve(app(dev_client(event_key="ek")), request("GET"), entry=entry)

    assert 200 == reply.status
    assert {
        "schema_version": "2024-05-24",
        "function_count": 2,
        "has_event_key": True,
        "has_signing_key": False,
        "has_signing_key_fallback": False,
        "mode": "dev",
    } == reply.json
    assert "x-inngest-signature" not in reply.headers


@entries
def test_in_dev_mode_a_signature_is_never_looked_at(entry: str) -> None:
    handler = app(dev_client(signing_key=KEY))

    reply = serve(handler, request("GET", x_inngest_signature="garbage"), entry=entry)

    assert 200 == reply.status
    assert "x-inngest-signature" not in reply.headers


@entries
def test_a_signed_introspection_tells_hashes_and_settings(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    handler = app(cloud_client(env="feature"), serve_origin="https://pub.test", serve_path="/p")

    reply = serve(handler, request("GET", key=KEY), entry=entry)

    assert 200 == reply.status
    assert {
        "schema_version": "2024-05-24",
        "api_origin": "https://api.inngest.com/",
        "app_id": "app",
        "authentication_succeeded": True,
        "capabilities": {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"},
        "env": "feature",
        "event_api_origin": "https://inn.gs/",
        "event_key_hash": "5e930b1b2b6c65de47679df72b3a7316a54a84f4b0d1e2159f483657fba3be43",
        "framework": "flask",
        "function_count": 2,
        "has_event_key": True,
        "has_signing_key": True,
        "has_signing_key_fallback": True,
        "mode": "cloud",
        "sdk_language": "py",
        "sdk_version": VERSION,
        "serve_origin": "https://pub.test",
        "serve_path": "/p",
        "signing_key_fallback_hash": HASHES[OTHER_KEY],
        "signing_key_hash": HASHES[KEY],
    } == reply.json


def test_a_signed_introspection_keeps_its_nulls() -> None:
    reply = serve(app(cloud_client(event_key=None)), request("GET", key=KEY))

    missing = ("env", "event_key_hash", "serve_origin", "serve_path", "signing_key_fallback_hash")
    assert dict.fromkeys(missing) == {name: reply.json[name] for name in missing}


BAD_SIGNATURES: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "none": lambda _body: {},
    "garbage": lambda _body: {"x_inngest_signature": "garbage"},
    "too old": lambda _body: {"x_inngest_signature": "t=1&s=00"},
    "by another key": lambda body: {"x_inngest_signature": sign(body, OTHER_KEY)},
    "of another body": lambda body: {"x_inngest_signature": sign(body + b"x")},
}
bad_signatures = pytest.mark.parametrize("signature", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES.keys())


@bad_signatures
def test_an_introspection_without_a_good_signature_is_refused(signature: Callable[[bytes], dict[str, Any]]) -> None:
    reply = serve(app(cloud_client()), request("GET", **signature(b"")))

    assert (401, {"message": "Unauthorized"}) == (reply.status, reply.json)
    assert {"content-type", "x-inngest-sdk-handled", "server-timing"} == set(reply.headers)


@pytest.mark.parametrize(
    ("client", "kind", "status"),
    [
        (cloud_client, "dev", 403),
        (cloud_client, "cloud", 200),
        (cloud_client, "martian", 200),
        (dev_client, "cloud", 403),
        (dev_client, "dev", 200),
    ],
)
def test_introspection_by_the_wrong_kind_of_server_is_refused(client: Any, kind: str, status: int) -> None:
    reply = serve(app(client()), request("GET", key=KEY, x_inngest_server_kind=kind))

    assert status == reply.status
    assert status == 200 or reply.json == {}


# In-band sync (4.4)


@entries
def test_an_in_band_sync_lists_the_functions(entry: str) -> None:
    body = b'{"url":"https://public.test/here?x=1"}'
    handler = app(cloud_client(app_version="v7"))

    reply = serve(handler, request("PUT", body=body, key=KEY, x_inngest_sync_kind="in_band"), entry=entry)

    url = "https://public.test/here"
    assert 200 == reply.status
    assert "in_band" == reply.headers["x-inngest-sync-kind"]
    assert {
        "app_id": "app",
        "appVersion": "v7",
        "framework": "flask",
        "sdk_author": "inngest",
        "sdk_language": "py",
        "sdk_version": VERSION,
        "url": url,
    } == {name: value for name, value in reply.json.items() if name not in ("functions", "inspection")}
    assert ["app-f", "app-f-failure", "app-g"] == [function["id"] for function in reply.json["functions"]]
    assert f"{url}?fnId=app-g&stepId=step" == reply.json["functions"][2]["steps"]["step"]["runtime"]["url"]
    assert reply.json["inspection"]["authentication_succeeded"] is True
    assert b"null" not in json.dumps(reply.json).encode()


@bad_signatures
def test_an_in_band_sync_needs_a_signature(signature: Callable[[bytes], dict[str, Any]]) -> None:
    body = b'{"url":"http://x.test"}'

    reply = serve(app(cloud_client()), request("PUT", body=body, x_inngest_sync_kind="in_band", **signature(body)))

    assert (401, {"message": "Unauthorized"}) == (reply.status, reply.json)
    assert {"content-type", "x-inngest-sdk-handled", "server-timing"} == set(reply.headers)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"url":5}', b"[]", b"x", b'{"url":'])
def test_an_in_band_sync_needs_a_url(body: bytes) -> None:
    reply = serve(app(cloud_client()), request("PUT", body=body, key=KEY, x_inngest_sync_kind="in_band"))

    assert (500, "body_invalid") == (reply.status, reply.json["code"])


def test_no_answer_holds_a_key() -> None:
    replies = [
        serve(app(cloud_client(event_key="secret-event-key")), one)
        for one in (
            request("GET", key=KEY),
            request("PUT", body=b'{"url":"http://x.test"}', key=KEY, x_inngest_sync_kind="in_band"),
            request("GET"),
            request("POST", f"{URL}?probe=trust", key=KEY),
        )
    ]

    for reply in replies:
        text = json.dumps([reply.json, reply.headers])
        assert "secret-event-key" not in text
        assert KEY.rpartition("-")[2] not in text


# Out-of-band sync (4.5)


@entries
def test_an_out_of_band_sync_registers_the_functions(entry: str) -> None:
    with local_server.serving(OK) as server:
        handler = app(cloud_client(api_base_url=server.origin, app_version="v7", env="feature"))

        reply = serve(handler, request("PUT", f"{URL}?deployId=3#x", b'{"url":"http://other.test"}'), entry=entry)

    assert (200, json.loads(OK.body)) == (reply.status, reply.json)
    assert "out_of_band" == reply.headers["x-inngest-sync-kind"]
    assert "x-inngest-signature" not in reply.headers
    (sent,) = server.requests
    assert ("POST", "/fn/register?deployId=3") == (sent.method, sent.path)
    body: Any = sent.json()
    assert {
        "appname": "app",
        "appVersion": "v7",
        "capabilities": {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"},
        "deployType": "ping",
        "framework": "flask",
        "sdk": f"py:v{VERSION}",
        "url": URL,
        "v": "0.1",
    } == {name: value for name, value in body.items() if name != "functions"}
    assert ["app-f", "app-f-failure", "app-g"] == [function["id"] for function in body["functions"]]
    assert {
        "authorization": f"Bearer {HASHES[KEY]}",
        "content-type": "application/json",
        "user-agent": f"inngest-py:v{VERSION}",
        "x-inngest-env": "feature",
        "x-inngest-framework": "flask",
        "x-inngest-req-version": "2",
        "x-inngest-sdk": f"inngest-py:v{VERSION}",
    } == {name: value for name, value in sent.headers.items() if name.startswith(("x-", "auth", "user", "content-t"))}


@pytest.mark.parametrize(
    ("client", "kind", "expected"),
    [(dev_client, None, None), (dev_client, "dev", "dev"), (cloud_client, "cloud", "cloud"), (dev_client, "x", None)],
)
def test_the_expected_server_kind_is_passed_on_only_when_it_came(
    client: Any, kind: str | None, expected: str | None
) -> None:
    headers: dict[str, Any] = {} if kind is None else {"x_inngest_server_kind": kind}
    with local_server.serving(OK) as server:
        serve(app(client(api_base_url=server.origin)), request("PUT", **headers))

    assert expected == server.requests[0].headers.get("x-inngest-expected-server-kind")


def test_without_a_signing_key_there_is_no_authorization() -> None:
    with local_server.serving(OK) as server:
        serve(app(dev_client(api_base_url=server.origin)), request("PUT"))

    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("status", [401, 403])
@entries
def test_a_refused_key_is_followed_by_the_fallback_key_once(
    entry: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    with local_server.serving(local_server.Reply(status, b"no"), OK) as server:
        reply = serve(app(cloud_client(api_base_url=server.origin)), request("PUT"), entry=entry)

    assert 200 == reply.status
    first, second = server.requests
    assert [f"Bearer {HASHES[KEY]}", f"Bearer {HASHES[OTHER_KEY]}"] == [
        first.headers["authorization"],
        second.headers["authorization"],
    ]
    assert first.body == second.body


def test_when_both_keys_are_refused_there_is_no_third_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    with local_server.serving(local_server.Reply(401, b"Authentication failed")) as server:
        reply = serve(app(cloud_client(api_base_url=server.origin)), request("PUT"))

    assert (2, 500) == (len(server.requests), reply.status)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_other_failures_are_not_tried_with_the_fallback_key(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", OTHER_KEY)
    with local_server.serving(local_server.Reply(status, b'{"error":"no"}')) as server:
        serve(app(cloud_client(api_base_url=server.origin)), request("PUT"))

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            local_server.Reply(401, b"Authentication failed"),
            "HTTP 401: response is not valid JSON: Authentication failed",
        ),
        (
            local_server.Reply(400, b'{"error":"Expected server kind cloud, got dev"}'),
            "HTTP 400: Expected server kind cloud, got dev",
        ),
        (local_server.Reply(500, b'{"status":500}'), "HTTP 500: {'status': 500}"),
        (local_server.Reply(200, b"<html>hello</html>"), "HTTP 200: response is not valid JSON: <html>hello</html>"),
        (local_server.Reply(200, b"[]"), "HTTP 200: response is not an object"),
        (local_server.Reply(200, b"null"), "HTTP 200: response is not an object"),
        (local_server.Reply(200, b""), "HTTP 200: response is not valid JSON"),
        (local_server.Reply(200, b"\xff\xfe"), "HTTP 200: response is not valid JSON"),
        (local_server.Reply(drop=True), "could not be reached"),
    ],
)
@entries
def test_a_registration_that_fails_is_not_answered_as_if_it_had_worked(
    entry: str, answer: local_server.Reply, message: str
) -> None:
    with local_server.serving(answer) as server:
        reply = serve(app(dev_client(api_base_url=server.origin)), request("PUT"), entry=entry)

    assert (500, "registration_failed", "RegistrationFailedError") == (
        reply.status,
        reply.json["code"],
        reply.json["name"],
    )
    assert message in reply.json["message"]


@entries
def test_a_server_that_is_not_there_is_named(entry: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, and nobody else gets the port
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"

        reply = serve(app(dev_client(api_base_url=origin)), request("PUT"), entry=entry)

    assert (500, "registration_failed") == (reply.status, reply.json["code"])
    assert f"the server at {origin}/fn/register could not be reached" in reply.json["message"]


def test_a_path_in_the_origin_is_dropped() -> None:
    with local_server.serving(OK) as server:
        serve(app(dev_client(api_base_url=f"{server.origin}/some/path")), request("PUT"))

    assert "/fn/register" == server.requests[0].path


# Who may sync (4.3)


@pytest.mark.parametrize(
    ("client", "argument", "variable", "signed", "status"),
    [
        (cloud_client, None, None, False, 200),
        (cloud_client, True, "0", False, 200),
        (cloud_client, False, None, False, 401),
        (cloud_client, False, "1", False, 401),
        (cloud_client, False, None, True, 200),
        (cloud_client, None, "0", False, 401),
        (cloud_client, None, " False ", False, 401),
        (cloud_client, None, "0", True, 200),
        (cloud_client, None, "anything", False, 200),
        (cloud_client, None, "", False, 200),
        (dev_client, False, "0", False, 200),
    ],
)
def test_who_may_sync_out_of_band(
    monkeypatch: pytest.MonkeyPatch, client: Any, argument: bool | None, variable: str | None, signed: bool, status: int
) -> None:
    if variable is not None:
        monkeypatch.setenv("INNGEST_ENABLE_UNAUTHED_SYNC", variable)
    with local_server.serving(OK) as server:
        handler = app(client(api_base_url=server.origin), enable_unauthed_sync=argument)

        reply = serve(handler, request("PUT", key=KEY if signed else None))

    assert (status, int(status == 200)) == (reply.status, len(server.requests))
    assert signed == ("x-inngest-signature" in reply.headers)


def test_an_unsigned_sync_may_carry_a_bad_signature_where_none_is_needed() -> None:
    with local_server.serving(OK) as server:
        reply = serve(app(cloud_client(api_base_url=server.origin)), request("PUT", x_inngest_signature="garbage"))

    assert 200 == reply.status
    assert "x-inngest-signature" not in reply.headers


@pytest.mark.parametrize("kind", ["in_band", "IN_BAND", "", "other"])
def test_in_dev_mode_every_sync_is_out_of_band(kind: str) -> None:
    with local_server.serving(OK) as server:
        reply = serve(app(dev_client(api_base_url=server.origin)), request("PUT", x_inngest_sync_kind=kind))

    assert (200, 1) == (reply.status, len(server.requests))
    assert "out_of_band" == reply.headers["x-inngest-sync-kind"]


@pytest.mark.parametrize(
    ("client", "kind", "message"),
    [
        (cloud_client, "dev", "Sync rejected since it's from a Dev Server but expected Cloud"),
        (dev_client, "cloud", "Sync rejected since it's from Cloud but expected Dev Server"),
    ],
)
def test_a_sync_by_the_wrong_kind_of_server_is_refused(client: Any, kind: str, message: str) -> None:
    with local_server.serving(OK) as server:
        reply = serve(app(client(api_base_url=server.origin)), request("PUT", x_inngest_server_kind=kind))

    assert (400, {"code": "server_kind_mismatch", "message": message}) == (reply.status, reply.json)
    assert [] == server.requests


def test_a_sync_with_an_empty_or_unreadable_body_works_out_of_band() -> None:
    with local_server.serving(OK) as server:
        handler = app(dev_client(api_base_url=server.origin))

        statuses = [serve(handler, request("PUT", body=body)).status for body in (b"", b"x", b"\xff", b"[]")]

    assert [200] * 4 == statuses


@pytest.mark.parametrize("headers", [{}, {"x_inngest_sync_kind": "in_band"}])
def test_an_app_without_functions_cannot_be_synced(headers: dict[str, str]) -> None:
    body = b'{"url":"http://x.test"}'

    reply = serve(make_handler(cloud_client()), request("PUT", body=body, key=KEY, **headers))

    assert (500, "function_config_invalid") == (reply.status, reply.json["code"])
    assert "no functions found" in reply.json["message"]


def test_two_functions_with_the_same_id_are_refused_by_serve() -> None:
    client = dev_client()
    functions = [client.create_function(fn_id="f", trigger=TRIGGER)(lambda ctx: None) for _ in range(2)]

    with pytest.raises(errors.FunctionConfigInvalidError, match="'app-f'"):
        make_handler(client, *functions)


def test_a_function_whose_id_is_that_of_a_failure_handler_is_refused_by_serve() -> None:
    client = dev_client()
    functions = [
        client.create_function(fn_id="f", trigger=TRIGGER, on_failure=failing)(lambda ctx: None),
        client.create_function(fn_id="f-failure", trigger=TRIGGER)(lambda ctx: None),
    ]

    for order in (functions, functions[::-1]):
        with pytest.raises(errors.FunctionConfigInvalidError, match="f-failure"):
            make_handler(client, *order)


def test_what_is_no_function_is_refused_by_serve() -> None:
    wrong: Any = [lambda ctx: None]

    with pytest.raises(errors.ConfigurationError, match="create_function"):
        Handler(dev_client(), wrong, framework="flask")


# The URL that is registered (1.5)


@pytest.mark.parametrize(
    ("origin", "path", "expected"),
    [
        (None, None, "http://h:1/api/inngest"),
        ("foo.com", None, "https://foo.com/api/inngest"),
        ("foo.com:99", None, "https://foo.com:99/api/inngest"),
        ("http://foo.com:99/abc", "/p", "http://foo.com:99/p"),
        (None, "/pub", "http://h:1/pub"),
    ],
)
def test_the_url_under_which_the_app_is_reached(origin: str | None, path: str | None, expected: str) -> None:
    assert expected == serve_url("http://h:1/api/inngest?deployId=3#x", serve_origin=origin, path=path)


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({}, {}, "http://app.test/api/inngest"),
        ({"serve_origin": "https://o.test"}, {"INNGEST_SERVE_ORIGIN": "https://v.test"}, "https://o.test/api/inngest"),
        ({}, {"INNGEST_SERVE_ORIGIN": "https://v.test"}, "https://v.test/api/inngest"),
        ({"serve_path": "/o"}, {"INNGEST_SERVE_PATH": "/v"}, "http://app.test/o"),
        ({}, {"INNGEST_SERVE_PATH": "/v"}, "http://app.test/v"),
        ({"public_path": "/pub", "serve_path": "/o"}, {"INNGEST_SERVE_PATH": "/v"}, "http://app.test/pub"),
    ],
)
def test_arguments_win_over_variables_and_the_public_path_over_the_mounted_one(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str], variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with local_server.serving(OK) as server:
        serve(app(dev_client(api_base_url=server.origin), **options), request("PUT"))

    body: Any = server.requests[0].json()
    assert expected == body["url"]


# The trust probe (4.7)


@entries
def test_the_trust_probe_is_answered_with_a_signature(entry: str) -> None:
    reply = serve(app(cloud_client()), request("POST", f"{URL}?probe=trust", key=KEY), entry=entry)

    assert (200, None) == (reply.status, reply.json)
    assert "x-inngest-signature" in reply.headers


def test_the_trust_probe_of_a_stranger_is_refused() -> None:
    reply = serve(app(cloud_client()), request("POST", f"{URL}?probe=trust"))

    assert (401, {"message": "Unauthorized"}) == (reply.status, reply.json)


def test_in_dev_mode_the_trust_probe_is_not_signed() -> None:
    reply = serve(app(dev_client()), request("POST", f"{URL}?probe=trust"))

    assert (200, None) == (reply.status, reply.json)
    assert "x-inngest-signature" not in reply.headers


def test_another_probe_is_not_supported() -> None:
    reply: Reply = serve(app(dev_client()), request("POST", f"{URL}?probe=x"))

    assert (500, "unsupported probe: x") == (reply.status, reply.json["message"])
