"""Bodies arrive and leave as they are: large, odd, in pieces."""

from __future__ import annotations

import gzip
import json

import pytest

from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.served import App, call_body, json_bytes, sign, step_id

ODD = {
    "accents": "hällo, wörld",
    "astral": "😀 𝒳",
    "controls": "\x00\x01\x1f\x7f\b\t\n\f\r",
    "html": "<script>&amp;</script>",
    "line separators": "\u2028\u2029",
    "quotes": "\"'\\/",
    "numbers": [0, -1, 1.5, 1e300, 9007199254740991],
    "דּ": {"😀": {"nested": [[], {}, [None]]}},
}

MEGABYTES = 4 * 1024 * 1024


def _in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def test_odd_text_and_numbers_come_through(app: App) -> None:
    assert app.call("echo", data={"payload": ODD}).json() == ODD


def test_escaped_text_comes_through(app: App) -> None:
    body = json.dumps(json.loads(call_body(data={"payload": ODD})), ensure_ascii=True).encode()

    assert app.call("echo", body=body).json() == ODD


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_chunked_body_comes_through_wherever_it_is_cut(app: App, size: int) -> None:
    payload = {"text": "é世😀" * 20}

    assert app.call("echo", body=_in_pieces(call_body(data={"payload": payload}), size)).json() == payload


def test_the_signature_is_checked_over_the_bytes_that_came(app: App) -> None:
    # Above the size up to which other forms of a body are tried, only the very bytes verify: nothing touched them.
    spaces = b" " * 20_000
    body = b"\n{" + spaces + call_body(data={"payload": "\u00e9"}).removeprefix(b"{") + spaces + b"\r\n"

    assert app.call("echo", body=body).json() == "é"


def test_a_compressed_body_is_unpacked_where_the_server_does_that(app: App, harness: Harness) -> None:
    plain = call_body(data={"payload": "é"})
    packed = gzip.compress(plain)
    signature = sign(plain if harness.DECODES_GZIP else packed)
    headers = [("content-encoding", "gzip")]
    reply = app.request("POST", packed, query="?fnId=shop-echo", headers=headers, signature=signature)

    if harness.DECODES_GZIP:
        assert (reply.status, reply.json()) == (200, "é")
    else:
        assert (reply.status, reply.json()["code"]) == (500, "body_invalid"), "declare DECODES_GZIP"


@pytest.mark.parametrize("chunked", [False, True])
def test_four_megabytes_come_in(app: App, chunked: bool) -> None:
    payload = {"records": [{"number": number, "text": "é" * 50} for number in range(MEGABYTES // 125)]}
    body = call_body(data={"payload": payload})
    reply = app.call("echo", body=_in_pieces(body, 64 * 1024) if chunked else body)

    assert len(body) > MEGABYTES
    assert reply.json() == payload


def test_four_megabytes_go_out(app: App) -> None:
    reply = app.call("letters", data={"count": MEGABYTES})

    assert reply.status == 206
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.json()[0]["data"] == "x" * MEGABYTES


def test_a_large_memo_comes_in(app: App) -> None:
    memo = {"data": "y" * MEGABYTES}

    assert app.call("letters", data={"count": 1}, steps={step_id("letters"): memo}).json() == "y" * MEGABYTES


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "nonsense",
    ],
)
def test_the_content_type_changes_nothing(app: App, harness: Harness, content_type: str) -> None:
    body = call_body(data={"payload": "a=b&c=d%20é"})
    query = "?fnId=shop-echo&stepId=step"
    reply = app.request("POST", body, query=query, headers=[("content-type", content_type)])

    if harness.PARSES_FORMS and content_type.startswith("multipart/"):
        assert (reply.status, "x-inngest-sdk" in reply.headers) == (500, False)
    else:
        assert reply.json() == "a=b&c=d%20é"


def test_a_missing_content_type_changes_nothing(app: App) -> None:
    body = call_body(data={"payload": 1})

    assert app.request("POST", body, query="?fnId=shop-echo&stepId=step").json() == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "not JSON", id="missing"),
        pytest.param(b"hello", "not JSON", id="not JSON"),
        pytest.param(b"\xff\xfe{}", "not JSON", id="not UTF-8"),
        pytest.param(call_body(data={"payload": 1})[:-20], "cut off", id="truncated"),
        pytest.param(b"[]", "Expected `object`", id="an array"),
        pytest.param(b"null", "Expected `object`", id="null"),
        pytest.param(b"{}", "missing required field `ctx`", id="empty"),
        pytest.param(json_bytes({"ctx": {"attempt": 0}}), "missing required field", id="half a context"),
        pytest.param(call_body(attempt="first"), "at `$.ctx.attempt`", id="wrong type"),  # type: ignore[arg-type]
        pytest.param(b'{"ctx":' * 100_000, "nested too deeply", id="deeply nested"),
    ],
)
def test_a_body_that_is_no_call_is_refused(app: App, body: bytes, says: str) -> None:
    reply = app.call("echo", body=body)

    assert reply.status == 500
    assert reply.json()["code"] == "body_invalid"
    assert reply.json()["name"] == "BodyInvalidError"
    assert says in reply.json()["message"]
