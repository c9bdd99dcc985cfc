"""Who cannot prove to be the server is refused, and learns nothing (protocol.md 2.4, 3.1)."""

from __future__ import annotations

import time

import pytest

from stepserve.testing.contract.fixtures import Make, make_client
from stepserve.testing.contract.harness import Harness, Headers, Reply
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import FALLBACK_KEY, PATH, SIGNATURE, App, assert_signed, call_body, mac, sign

BODY = call_body(data={"payload": 1})
CALL = PATH + "?fnId=shop-echo&stepId=step"

OUR_HEADERS = {"content-type", "x-inngest-sdk-handled", "server-timing"}
THEIR_HEADERS = {"connection", "content-length", "date", "server", "vary"}
"""What servers and frameworks add to every response."""


def _assert_refused(reply: Reply) -> None:
    assert reply.status == 401
    assert reply.json() == {"message": "Unauthorized"}
    assert set(reply.headers) - THEIR_HEADERS == OUR_HEADERS
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-inngest-sdk-handled"] == "true"


def _wrong_signatures() -> dict[str, bytes]:
    """Return signature headers, made now: most of them would be too old soon."""
    good = sign(BODY)
    timestamp, _, digits = good.partition("&")
    return {
        "empty": b"",
        "garbage": b"garbage",
        "no timestamp": digits.encode(),
        "no signature": timestamp.encode(),
        "empty signature": f"{timestamp}&s=".encode(),
        "short signature": f"{timestamp}&s=00".encode(),
        "timestamp is no number": f"t=abc&{digits}".encode(),
        "timestamp is negative": f"t=-1&{digits}".encode(),
        "timestamp is huge": f"t={'9' * 400}&{digits}".encode(),
        "timestamp in other digits": "t=١٧٠٠٠٠٠٠٠٠&s=00".encode(),
        "not ASCII": good.encode() + "ü".encode(),
        "not UTF-8": good.encode() + b"\xff\xfe",
        "wrong digit": (good[:-1] + ("0" if good[-1] != "0" else "1")).encode(),
        "other key": sign(BODY, key="signkey-test-123456").encode(),
        "other body": sign(BODY + b" ").encode(),
        "expired": sign(BODY, age=5 * 60 + 10).encode(),
        "long expired": f"t=1&s={mac(BODY, '1')}".encode(),
        "from the future": sign(BODY, age=-70).encode(),
        "milliseconds": _sign_at(str(int(time.time() * 1000))).encode(),
        "very long": b"t=1&s=" + b"0" * 8_000,
    }


def _sign_at(timestamp: str) -> str:
    return f"t={timestamp}&s={mac(BODY, timestamp)}"


@pytest.mark.parametrize("wrong", _wrong_signatures())
def test_a_call_with_a_wrong_signature_is_refused(app: App, wrong: str) -> None:
    _assert_refused(app.send("POST", CALL, BODY, [(SIGNATURE, _wrong_signatures()[wrong])]))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CALL, BODY),
        ("POST", CALL, b""),
        ("POST", CALL, b"hello"),
        ("POST", PATH, BODY),
        ("POST", PATH + "?fnId=shop-unknown", BODY),
        ("POST", PATH + "?probe=trust", b""),
        ("POST", PATH + "?probe=unknown", b""),
        ("GET", PATH, b""),
    ],
)
def test_an_unsigned_request_is_refused(app: App, method: str, path: str, body: bytes) -> None:
    _assert_refused(app.send(method, path, body))


def test_an_unsigned_in_band_sync_is_refused(app: App) -> None:
    headers: Headers = [("x-inngest-sync-kind", "in_band")]

    _assert_refused(app.send("PUT", PATH, b'{"url":"https://example.com"}', headers))


@pytest.mark.parametrize("age", [4 * 60, -30])
def test_clocks_may_differ_a_little(app: App, age: float) -> None:
    assert app.request("POST", BODY, query="?fnId=shop-echo", signature=sign(BODY, age=age)).json() == 1


def test_a_second_signature_does_not_save_a_wrong_one(app: App) -> None:
    headers: Headers = [(SIGNATURE, "t=1&s=00"), (SIGNATURE, sign(BODY))]

    _assert_refused(app.send("POST", CALL, BODY, headers))


def test_large_refused_bodies_are_not_parsed(app: App) -> None:
    _assert_refused(app.send("POST", CALL, b'{"a":' * 200_000))


def test_both_keys_of_a_rotation_are_accepted(
    harness: Harness, recorder: Recorder, make_functions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK_KEY)
    client = make_client(recorder)
    with harness.mount(client, make_functions(client)) as send:
        new, old = App(send), send("POST", CALL, BODY, [(SIGNATURE, sign(BODY, key=FALLBACK_KEY))])

        assert new.call("echo", body=BODY).json() == 1
        assert old.json() == 1
        assert_signed(old, FALLBACK_KEY)
        _assert_refused(send("POST", CALL, BODY, [(SIGNATURE, sign(BODY, key="signkey-test-123456"))]))


def test_dev_mode_checks_no_signature_and_makes_none(dev_app: App) -> None:
    reply = dev_app.send("POST", CALL, BODY, [(SIGNATURE, "garbage")])

    assert reply.json() == 1
    assert SIGNATURE not in reply.headers
