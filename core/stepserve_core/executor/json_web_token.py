"""JSON web tokens with HS256, as subscribers and workers show them (executor.md 9.1 and 10.1). No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TypeVar

import msgspec

ClaimsT = TypeVar("ClaimsT", bound=msgspec.Struct)

_HEADER = {"alg": "HS256", "typ": "JWT"}


class TokenInvalidError(ValueError):
    """A token that is not ours, too old, or broken."""


def sign_claims(secret: bytes, claims: msgspec.Struct) -> str:
    """Return a token that says `claims`."""
    signed = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
    return f"{signed}.{_encode(_sign(secret, signed))}"


def read_claims(secret: bytes, token: str, shape: type[ClaimsT]) -> ClaimsT:
    """Return what a token says. Whether its time is over, and whom it is for, is the caller's to check.

    Raises:
        TokenInvalidError: it was not made with `secret`, or says something else than `shape`.
    """
    signed, _, signature = token.rpartition(".")
    if not token.isascii() or not hmac.compare_digest(_encode(_sign(secret, signed)), signature):
        raise TokenInvalidError("the token was not made by this server")
    try:
        header, payload = (_decode(part) for part in signed.split("."))
        claims = msgspec.json.decode(payload, type=shape)
        algorithm = msgspec.json.decode(header, type=dict[str, str]).get("alg")
    except (ValueError, binascii.Error, RecursionError):
        raise TokenInvalidError("the token cannot be read") from None
    if algorithm != "HS256":
        raise TokenInvalidError("the token is of another kind")
    return claims


def _sign(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
