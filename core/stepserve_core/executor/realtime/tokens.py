"""Tokens of subscribers: JWTs with HS256 (executor.md 10.1). No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.calls import ACCOUNT_ID

ISSUER = "rt.inngest.com"
LIFE = 60
"""Seconds that a token is good for letting somebody in; who is in stays."""

_HEADER = {"alg": "HS256", "typ": "JWT"}
MOST_TOPICS = 1000


class TokenInvalidError(ValueError):
    """A token that is not ours, too old, or broken."""


class Topic(msgspec.Struct, frozen=True):
    """What can be subscribed to. Only topics of the kind `run`, which all SDKs ask for, belong to a channel."""

    name: str
    channel: str = ""
    kind: str = "run"

    @property
    def key(self) -> tuple[str, str]:
        """What messages are found by."""
        return (self.channel if self.kind == "run" else "", self.name)


class Claims(msgspec.Struct, frozen=True):
    """What a token says. With `publish` it lets its bearer publish, and has no topics."""

    iss: str
    exp: int
    iat: int
    jti: str
    sub: str = ACCOUNT_ID
    env: str = ""
    topics: list[Topic] = []
    publish: bool = False


def make_token(secret: bytes, topics: list[Topic], now: float, *, publish: bool = False) -> str:
    """Return a token for `topics`."""
    claims = Claims(ISSUER, int(now) + LIFE, int(now), ids.new_id(now), topics=topics, publish=publish)
    signed = f"{_encode(msgspec.json.encode(_HEADER))}.{_encode(msgspec.json.encode(claims))}"
    return f"{signed}.{_encode(_sign(secret, signed))}"


def read_token(secret: bytes, token: str, now: float) -> Claims:
    """Return what a token says.

    Raises:
        TokenInvalidError: it was not made with `secret`, or its time is over.
    """
    signed, _, signature = token.rpartition(".")
    if not token.isascii() or not hmac.compare_digest(_encode(_sign(secret, signed)), signature):
        raise TokenInvalidError("the token was not made by this server")
    try:
        header, payload = (_decode(part) for part in signed.split("."))
        claims = msgspec.json.decode(payload, type=Claims)
        algorithm = msgspec.json.decode(header, type=dict[str, str]).get("alg")
    except (ValueError, binascii.Error, RecursionError):
        raise TokenInvalidError("the token cannot be read") from None
    if algorithm != "HS256" or claims.iss != ISSUER:
        raise TokenInvalidError("the token is of another kind")
    if claims.exp <= now:
        raise TokenInvalidError("the token's time is over; ask for a new one")
    return claims


def _sign(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
