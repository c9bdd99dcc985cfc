"""RFC 8785 (JSON Canonicalization Scheme), built on msgspec.

The server signs the canonical form of a body (protocol.md 2.3), so the executor needs it for everything it
sends and the verifier needs it as a fallback. msgspec already writes minimal strings and shortest numbers;
what differs from the RFC is the order of keys outside the Basic Multilingual Plane and the form of some
numbers. Bodies that can hold neither take the fast path; the others are rebuilt value by value first.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

# A run of 16 digits may be an integer that a double cannot hold; a four-byte character (raw or escaped) may
# stand in a key, where UTF-16 order differs from the order of code points. Hits inside strings only cost time.
_MAY_NEED_REBUILD = re.compile(rb"[0-9]{16}|[\xf0-\xf4]|\\u[dD][89abAB]")
_LARGEST_EXACT = 2**53


class _OutOfRange(Exception):
    """A number whose RFC 8785 form msgspec does not write by itself."""


def canonicalize(body: bytes) -> bytes:
    """Return the canonical form of the JSON text `body`; an empty body stays empty.

    Raises:
        ValueError: `body` is not JSON (lone surrogates, NaN and numbers beyond a double included).
        RecursionError: `body` is nested too deeply to be read.
    """
    if not body:
        return b""
    try:
        return _canonicalize(body)
    except (msgspec.DecodeError, OverflowError) as error:
        raise ValueError(f"not JSON: {error}") from None


def _canonicalize(body: bytes) -> bytes:
    if _MAY_NEED_REBUILD.search(body) is None:
        try:
            return msgspec.json.encode(_FAST.decode(body), order="sorted")
        except _OutOfRange:
            pass
    return msgspec.json.encode(_rebuild(_EXACT.decode(body)))


def _fast_number(text: str) -> float | int:
    number = float(text)
    if not (number == 0 or 1e-4 <= abs(number) < 1e16):
        raise _OutOfRange(text)
    return int(number) if number.is_integer() else number


def _rebuild(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _rebuild(value[key]) for key in keys}
    if isinstance(value, list):
        return [_rebuild(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return msgspec.Raw(_ecmascript_number(value))
    return value


def _ecmascript_number(value: float) -> bytes:
    """Write a number as ECMAScript's Number::toString does (RFC 8785 section 3.2.2.3)."""
    if isinstance(value, int) and abs(value) <= _LARGEST_EXACT:
        return b"%d" % value
    number = float(value)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{str(value)[:20]}… does not fit a double")
    if number.is_integer() and abs(number) < 1e21:
        return _integral(number)
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa.encode()
    power = int(exponent)
    if power >= -6 and power < 0:  # Python writes 1e-05 where ECMAScript writes 0.00001
        sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
        return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}".encode()
    return f"{mantissa.removesuffix('.0')}e{power:+d}".encode()


def _integral(number: float) -> bytes:
    """Shortest digits, padded with zeros: 123456789012345678901 is written 123456789012345680000."""
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return b"%d" % int(number)
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    return f"{whole}{fraction.ljust(int(exponent), '0')}".encode()


_FAST = msgspec.json.Decoder(float_hook=_fast_number)
_EXACT = msgspec.json.Decoder(float_hook=float)
