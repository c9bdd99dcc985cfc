"""RFC 8785 (protocol.md 2.3), compared with the `rfc8785` library."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from stepserve_core._canonical import canonicalize

# The library refuses larger integers; there the protocol asks for the nearest double instead.
_EXACT = 2**53 - 1
_numbers = st.integers(-_EXACT, _EXACT) | st.floats(allow_nan=False, allow_infinity=False)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(_values, st.booleans())
def test_it_writes_what_the_rfc8785_library_writes(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1).encode()

    assert rfc8785.dumps(value) == canonicalize(text)


@settings(max_examples=400, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_it_writes_every_double_as_the_library_does(number: float) -> None:
    assert rfc8785.dumps([number]) == canonicalize(json.dumps([number]).encode())


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**80), 2**80))
def test_an_integer_becomes_the_nearest_double(number: int) -> None:
    expected = rfc8785.dumps(float(number)) if abs(number) > _EXACT else str(number).encode()

    assert expected == canonicalize(str(number).encode())


@settings(max_examples=100, deadline=None)
@given(_values)
def test_what_is_canonical_stays_as_it_is(value: Any) -> None:
    once = canonicalize(json.dumps(value).encode())

    assert once == canonicalize(once)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  {}  ", "{}"),
        ('{ "b" : 2,\n "a" : [1, 2] }', '{"a":[1,2],"b":2}'),
        ('"h\\u00e9llo \\ud83d\\ude00"', '"héllo 😀"'),
        ("[1.0,1e21,1E-7,0.1,-0.0,-0,100000000000000000000]", "[1,1e+21,1e-7,0.1,0,0,100000000000000000000]"),
        ("333333333.33333329", "333333333.3333333"),
        ("[1e-5,1e-6,0.00001,-1.5e-6]", "[0.00001,0.000001,0.00001,-0.0000015]"),
        ("[9007199254740993,123456789012345678901]", "[9007199254740992,123456789012345680000]"),
        ("12345678901234567890", "12345678901234567000"),
        ('{"\ufb33":1,"😀":2,"a":3}', '{"a":3,"😀":2,"\ufb33":1}'),
        ('"a \\u003c b \\u0026 c \\/"', '"a < b & c /"'),
        ('"\\u0000\\b\\t\\n\\u001f\\u007f\\u2028\\""', '"\\u0000\\b\\t\\n\\u001f\x7f\u2028\\""'),
        ('{"a":1,"a":2}', '{"a":2}'),
    ],
)
def test_the_canonical_form(text: str, expected: str) -> None:
    assert expected == canonicalize(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        b"notjson",
        b"{",
        b'{"a":1}x',
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b"-1e400",
        b'"\\ud800"',
        b'"\\udc00x"',
        b'"\xff"',
        b'{"\xff":1}',
        b"9" * 400,
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonicalize(text)


def test_nesting_that_cannot_be_read_is_an_error_and_not_a_crash() -> None:
    with pytest.raises((RecursionError, ValueError)):
        canonicalize(b"[" * 200_000 + b"]" * 200_000)


def test_no_value_is_lost_on_the_way() -> None:
    value = {"ü": [1, -2.5, None, True, {"z": "", "a": []}], "n": math.pi}

    assert value == json.loads(canonicalize(json.dumps(value).encode()))
