"""Events from forms, in both encodings that browsers use."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn

pytestmark = pytest.mark.anyio

ON_X = [{"event": "test/x"}]


def _echo(call: Call) -> Generator[Any, Any, Any]:
    return call.event["data"]
    yield


async def test_a_form_becomes_an_event(start: StartSystem) -> None:
    async with start(Fn("f", _echo, ON_X)) as system:
        answer = await system.http.post("/e/key", data={"name": "test/x", "color": ["red", "blue"]})
        outcome = await system.outcome(answer.json()["ids"][0])

        assert ("Completed", {"name": ["test/x"], "color": ["red", "blue"]}) == outcome


async def test_a_multipart_form_becomes_an_event_without_its_files(start: StartSystem) -> None:
    texts: list[Any] = [("name", (None, "test/x")), ("color", (None, "red")), ("color", (None, "bl\r\n--ü"))]
    async with start(Fn("f", _echo, ON_X)) as system:
        answer = await system.http.post("/e/key", files=[*texts, ("photo", ("a.png", b"\x89PNG"))])
        outcome = await system.outcome(answer.json()["ids"][0])

        assert ("Completed", {"name": ["test/x"], "color": ["red", "bl\r\n--ü"]}) == outcome


PART = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("multipart/form-data", PART + b"a\r\n--x--\r\n", "names no boundary"),
        ("multipart/form-data; boundary=x", PART + b"a\r\n", "ends before its last boundary"),
        ("multipart/form-data; boundary=x", b"", "ends before its last boundary"),
        ("multipart/form-data; boundary=x", b"no form", "cannot be read"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\na\r\n--x--\r\n", "a field has no name"),
        ("multipart/form-data; boundary=x", PART + b"\xff\r\n--x--\r\n", "cannot be read"),
        ("multipart/form-data; boundary=x", (PART + b"a\r\n") * 1001 + b"--x--\r\n", "more than 1000 fields"),
        ("multipart/form-data; boundary=x", PART + b"a" * 3_200_000, "the form is larger than 3145728 bytes"),
        ("application/x-www-form-urlencoded", b"a=b&" * 1001, "cannot be read"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    start: StartSystem, content_type: str, body: bytes, message: str
) -> None:
    async with start(Fn("f", _echo, ON_X)) as system:
        answer = await system.http.post("/e/key", content=body, headers={"content-type": content_type})

    assert 400 == answer.status_code
    assert message in answer.json()["error"]
