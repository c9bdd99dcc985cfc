"""The requests of gateway steps and what comes back (executor.md 5.9)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class GatewayRequest(msgspec.Struct, frozen=True):
    """A request to make; header names are lower-case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class GatewayReply(msgspec.Struct, frozen=True):
    """What came back; `url` is the last one of the redirects. Header names are lower-case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
