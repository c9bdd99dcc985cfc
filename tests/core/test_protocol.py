"""Bodies and requests as they arrive (protocol.md 5.1, 5.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepserve_core import errors
from stepserve_core._protocol import Request, parse_call, parse_sync
from tests.core.calls import EVENT, call_body


def encoded(**changes: Any) -> bytes:
    """Return a good body with changes; `...` takes a field away, a dotted name reaches into `ctx`."""
    body: dict[str, Any] = call_body()
    for name, value in changes.items():
        holder, field = (body["ctx"], name[4:]) if name.startswith("ctx_") else (body, name)
        if value is ...:
            del holder[field]
        else:
            holder[field] = value
    return json.dumps(body).encode()


def test_a_call_is_read() -> None:
    call = parse_call(encoded(steps={"a": {"data": 1}}, ctx_attempt=3))

    assert (3, False, "01HRUN", 4) == (
        call.ctx.attempt,
        call.ctx.disable_immediate_execution,
        call.ctx.run_id,
        call.ctx.max_attempts,
    )
    assert json.loads(bytes(call.event)) == EVENT
    assert call.use_api is False


@pytest.mark.parametrize(
    "changes",
    [
        {"ctx_max_attempts": ...},
        {"ctx_max_attempts": None},
        {"events": ...},
        {"events": None},
        {"ctx_stack": {}},
        {"ctx_stack": {"stack": None, "current": 0}},
        {"ctx_use_api": ...},
        {"defers": ...},
        {"version": ...},
        {"unheard_of": {"x": 1}},
        {"ctx_unheard_of": [1]},
    ],
)
def test_what_may_be_absent_or_new_does_not_matter(changes: dict[str, Any]) -> None:
    assert "01HRUN" == parse_call(encoded(**changes)).ctx.run_id


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ctx": ...}, "ctx"),
        ({"event": ...}, "event"),
        ({"steps": ...}, "steps"),
        ({"use_api": ...}, "use_api"),
        ({"ctx_attempt": ...}, "attempt"),
        ({"ctx_disable_immediate_execution": ...}, "disable_immediate_execution"),
        ({"ctx_run_id": ...}, "run_id"),
        ({"ctx_stack": ...}, "stack"),
        ({"ctx": None}, "ctx"),
        ({"ctx": []}, "ctx"),
        ({"ctx_attempt": "0"}, "attempt"),
        ({"ctx_attempt": True}, "attempt"),
        ({"ctx_attempt": 0.5}, "attempt"),
        ({"ctx_run_id": 5}, "run_id"),
        ({"ctx_disable_immediate_execution": "no"}, "disable_immediate_execution"),
        ({"ctx_stack": []}, "stack"),
        ({"steps": []}, "steps"),
        ({"use_api": 1}, "use_api"),
        ({"events": {}}, "events"),
    ],
)
def test_a_missing_or_wrong_field_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(errors.BodyInvalidError, match=named):
        parse_call(encoded(**changes))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON|cut off"),
        (b"notjson", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"null", "expected `object`|Expected `object`"),
        (b"[]", "Expected `object`"),
        (b'"text"', "Expected `object`"),
        (b"5", "Expected `object`"),
        (b"{}", "missing required field"),
        (encoded() + b"x", "not JSON"),
        (encoded()[:-1], "cut off"),
        (encoded()[: len(encoded()) // 2], "cut off"),
        (b'{"event":\xff}', "not JSON"),
    ],
)
def test_what_is_not_a_call_is_refused_with_a_reason(body: bytes, complaint: str) -> None:
    with pytest.raises(errors.BodyInvalidError, match=complaint):
        parse_call(body)


@pytest.mark.parametrize("field", ["event", "steps", "unheard_of", "ctx"])
def test_a_body_that_is_nested_too_deeply_is_refused(field: str) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    body = encoded(**{field: "HERE"}).replace(b'"HERE"', deep)

    with pytest.raises(errors.BodyInvalidError):
        parse_call(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"", {}), (b"  \n", {}), (b"{}", {}), (b'{"url":"http://x"}', {"url": "http://x"})],
)
def test_a_sync_body_may_be_empty(body: bytes, expected: dict[str, Any]) -> None:
    assert expected == parse_sync(body)


@pytest.mark.parametrize("body", [b"null", b"[]", b"x", b"{", b"\xff"])
def test_a_sync_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(errors.BodyInvalidError):
        parse_sync(body)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/p", {}),
        ("http://h/p?", {}),
        ("http://h/p?fnId=a&stepId=b", {"fnId": ["a"], "stepId": ["b"]}),
        ("http://h/p?fnId=a&fnId=b", {"fnId": ["a", "b"]}),
        ("http://h/p?fnId=", {"fnId": [""]}),
        ("http://h/p?fnId=a%2Fb+c&x#y?fnId=z", {"fnId": ["a/b c"], "x": [""]}),
        ("/p?fnId=%ff", {"fnId": ["\ufffd"]}),
        ("http://h/p#?fnId=z", {}),
    ],
)
def test_the_query_of_a_request(url: str, expected: dict[str, list[str]]) -> None:
    assert expected == Request("POST", url, {}, b"").query()
