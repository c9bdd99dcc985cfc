"""What is kept of an answer (protocol.md 13.2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stepserve_core._endpoint_answer import LARGEST_BODY, collect, fold_headers
from stepserve_core.errors import EndpointUnsupportedError


def test_values_of_a_header_are_joined() -> None:
    assert {"Vary": "Accept, Cookie", "x": "1"} == fold_headers([("Vary", "Accept"), ("x", "1"), ("vary", "Cookie")])


def test_each_cookie_is_a_header_of_its_own() -> None:
    cookies = [f"c{number}=1" for number in range(512)]

    folded = fold_headers([("Set-Cookie", cookie) for cookie in cookies])

    assert cookies == list(folded.values())
    assert {"set-cookie"} == {name.lower() for name in folded}


def test_what_is_too_large_to_be_kept_is_not_read_to_its_end() -> None:
    read = []

    def chunks() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield b"x" * (LARGEST_BODY // 4)

    with pytest.raises(EndpointUnsupportedError, match="up to 2097152 bytes"):
        collect(chunks())
    assert 5 == len(read)
