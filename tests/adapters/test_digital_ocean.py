"""DigitalOcean Functions: raw web events, the URL from the context, bodies that the platform must not rewrite."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest

import stepserve.digital_ocean
from stepserve import ContextSync, Inngest, TriggerEvent
from stepserve.digital_ocean import request_from
from stepserve.testing.contract.served import call_body

CONTEXT = SimpleNamespace(
    api_host="https://faas-nyc1-2ef2e6cc.doserverless.co", function_name="/fn-52ad03a2/sample/inngest"
)

RAW: dict[str, Any] = {
    "http": {
        "body": "eyJuYW1lIjoiU2FtbXkifQ==",
        "headers": {"accept": "*/*", "content-type": "application/json", "x-forwarded-proto": "https"},
        "isBase64Encoded": True,
        "method": "post",
        "path": "",
        "queryString": "name=Sammy&fnId=a%20b",
    }
}


def test_a_raw_event_is_a_request() -> None:
    request = request_from(RAW, CONTEXT)

    assert (request.method, request.body) == ("POST", b'{"name":"Sammy"}')
    url = "https://faas-nyc1-2ef2e6cc.doserverless.co/api/v1/web/fn-52ad03a2/sample/inngest?name=Sammy&fnId=a%20b"
    assert url == request.url
    assert request.headers.get("content-type") == "application/json"
    assert request.raw == {"context": CONTEXT, "event": RAW}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", b""),
        (None, b""),
        ("text ä", "text ä".encode()),
        ({"b": [1, "ä"], "a": None}, '{"b":[1,"ä"],"a":null}'.encode()),
    ],
)
def test_a_body_may_be_text_or_an_object(body: object, expected: bytes) -> None:
    http = {**RAW["http"], "body": body, "isBase64Encoded": False}

    assert expected == request_from({"http": http}, CONTEXT).body


@pytest.mark.parametrize("event", [{}, {"http": {"headers": {}, "method": "POST", "path": ""}, "name": "Sammy"}])
def test_an_event_that_is_not_raw_is_answered_with_what_to_do(event: dict[str, Any]) -> None:
    client = Inngest(app_id="shop", is_production=False)
    result = stepserve.digital_ocean.serve(client, [])(event, CONTEXT)

    assert result["statusCode"] == 400
    assert json.loads(result["body"])["code"] == "body_invalid"
    assert "web: raw" in json.loads(result["body"])["message"]


@pytest.mark.parametrize(
    ("value", "is_base64"),
    [(None, True), (True, True), (1234, True), (12345, False), ("abcd", False), ({"a": 1}, False), (False, False)],
)
def test_text_that_the_platform_would_decode_leaves_as_base64(value: object, is_base64: bool) -> None:
    client = Inngest(app_id="shop", is_production=False)

    @client.create_function(fn_id="answer", trigger=TriggerEvent(event="shop/tested"))
    def answer(ctx: ContextSync) -> object:
        return value

    http = {**RAW["http"], "body": call_body().decode(), "isBase64Encoded": False, "queryString": "fnId=shop-answer"}
    result = stepserve.digital_ocean.serve(client, [answer])({"http": http}, CONTEXT)
    text = json.dumps(value, separators=(",", ":"))

    assert result["statusCode"] == 200
    assert result["body"] == (base64.b64encode(text.encode()).decode() if is_base64 else text)
