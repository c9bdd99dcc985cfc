"""Tokens of subscribers: JWTs with HS256 (executor.md 10.1). No I/O."""

from __future__ import annotations

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.calls import ACCOUNT_ID
from stepserve_core.executor.json_web_token import TokenInvalidError, read_claims, sign_claims

__all__ = [
    "ISSUER",
    "LIFE",
    "MOST_TOPICS",
    "STREAM",
    "STREAM_LIFE",
    "Claims",
    "TokenInvalidError",
    "Topic",
    "make_token",
    "read_token",
]

ISSUER = "rt.inngest.com"
LIFE = 60
"""Seconds that a token is good for letting somebody in; who is in stays."""

STREAM_LIFE = 16 * 60
"""As `LIFE`, for what a durable endpoint streams: its client needs the token when it is sent to us, not before."""

STREAM = "$stream"
"""The topic of what a durable endpoint streams; its channel is the run."""

MOST_TOPICS = 1000


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


def make_token(secret: bytes, topics: list[Topic], now: float, *, publish: bool = False, life: int = LIFE) -> str:
    """Return a token for `topics`, that is good for `life` seconds."""
    return sign_claims(
        secret, Claims(ISSUER, int(now) + life, int(now), ids.new_id(now), topics=topics, publish=publish)
    )


def read_token(secret: bytes, token: str, now: float) -> Claims:
    """Return what a token says.

    Raises:
        TokenInvalidError: it was not made with `secret`, or its time is over.
    """
    claims = read_claims(secret, token, Claims)
    if claims.iss != ISSUER:
        raise TokenInvalidError("the token is of another kind")
    if claims.exp <= now:
        raise TokenInvalidError("the token's time is over; ask for a new one")
    return claims
