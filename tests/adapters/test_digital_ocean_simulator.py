"""The simulator of DigitalOcean Functions: events of requests, and responses of results, as the platform makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("flask")

from stepserve.experimental.digital_ocean_simulator import FULL_PATH, DigitalOceanSimulator  # after the look for flask

JSON = {"content-type": "application/json"}


def _event(path: str = FULL_PATH, **request: Any) -> dict[str, Any]:
    """Return the event that the platform makes of a request."""
    seen: list[dict[str, Any]] = []

    def main(event: dict[str, Any], context: Any) -> dict[str, Any]:
        seen.append(event)
        return {}

    assert DigitalOceanSimulator(main).app.test_client().open(path, **request).status_code == 204
    return dict(seen[0]["http"])


def _response(result: object) -> Any:
    """Return the response that the platform makes of a result."""
    return DigitalOceanSimulator(lambda event, context: result).app.test_client().get(FULL_PATH)


def test_the_path_is_that_of_the_official_simulator() -> None:
    assert FULL_PATH == "/api/v1/web/fn-00000000/fake-name"


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "is_base64"),
    [
        ("application/json", b'{"a":1}', "eyJhIjoxfQ==", True),
        ("image/png", b"\xff\x00", "/wA=", True),
        (None, b"abc", "YWJj", True),
        ("text/plain", "ä".encode(), "ä", False),
        ("text/plain; charset=iso-8859-1", "ä".encode(), "ä", False),
        ("text/plain", b"\xff", "\ufffd", False),
        ("application/x-www-form-urlencoded", b"a=1", "a=1", False),
        ("application/problem+json", b"{}", "{}", False),
        ("text/plain", b"", "", False),
    ],
)
def test_the_body_of_a_request_is_text_or_base64(
    content_type: str | None, body: bytes, expected: str, is_base64: bool
) -> None:
    http = _event(method="POST", data=body, content_type=content_type)

    assert (http["body"], http["isBase64Encoded"]) == (expected, is_base64)


def test_an_event_tells_the_rest_of_the_request() -> None:
    http = _event(f"{FULL_PATH}/below/x?b=%20&a=1&b=2", method="PUT", headers={"X-Odd": "1"})

    assert (http["method"], http["path"], http["queryString"]) == ("PUT", "/below/x", "b=%20&a=1&b=2")
    assert http["headers"]["x-odd"] == "1"


def test_the_context_tells_where_the_function_is() -> None:
    seen: list[Any] = []
    DigitalOceanSimulator(lambda event, context: seen.append(context)).app.test_client().get(FULL_PATH)
    (context,) = seen

    assert f"{context.api_host}/api/v1/web{context.function_name}" == f"http://localhost{FULL_PATH}"
    assert context.get_remaining_time_in_millis() > 0


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"body": "hi"}, 200, "text/html; charset=utf-8", b"hi"),
        ({"body": '{"a":1}', "headers": JSON, "statusCode": 206}, 206, "application/json", b'{"a":1}'),
        ({"body": "eyJhIjoxfQ==", "headers": JSON}, 200, "application/json", b'{"a":1}'),
        ({"body": "null", "headers": JSON}, 200, "application/json", b"\x9e\xe9e"),  # reads as base64
        ({"body": "abcd", "headers": {"Content-Type": "text/plain"}}, 200, "text/plain", b"abcd"),
        ({"body": "/wA=", "headers": {"content-type": "image/png"}}, 200, "image/png", b"\xff\x00"),
        ({"body": {"a": 1}, "statusCode": "201"}, 201, "application/json", b'{\n  "a": 1\n}'),
        ({"body": None, "headers": JSON}, 204, None, b""),
        ({"body": "", "headers": JSON, "statusCode": 200}, 200, None, b""),
    ],
)
def test_what_becomes_of_a_result(result: dict[str, Any], status: int, content_type: str | None, body: bytes) -> None:
    response = _response(result)

    assert (response.status_code, response.data) == (status, body)
    if content_type is not None:
        assert response.headers["content-type"] == content_type


@pytest.mark.parametrize(
    "result",
    [
        None,
        [1],
        {"body": "no base64", "headers": {"content-type": "image/png"}},
        {"body": {"a": 1}, "headers": {"content-type": "text/plain"}},
        {"body": "x", "statusCode": "many"},
        {"body": "x", "headers": [1]},
    ],
)
def test_a_result_that_the_platform_refuses_is_a_bad_request(result: object) -> None:
    response = _response(result)

    assert response.status_code == 400
    assert "message/http" in json.loads(response.data)["error"]


def test_the_platform_answers_options_itself() -> None:
    def main(event: object, context: object) -> object:
        raise AssertionError

    response = DigitalOceanSimulator(main).app.test_client().options(FULL_PATH)

    assert (response.status_code, response.data) == (200, b"")
    assert "PATCH" in response.headers["access-control-allow-methods"]
