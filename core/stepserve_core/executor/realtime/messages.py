"""Realtime messages as they go out (executor.md 10.3). No I/O."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.moments import to_rfc3339


def make_message(kind: str, channel: str, topic: str, data: bytes, now: float, **fields: str) -> bytes:
    """Return the JSON of a message; `data` is JSON already."""
    message = {
        "kind": kind,
        "channel": channel,
        "topic": topic,
        "data": msgspec.Raw(data),
        "created_at": to_rfc3339(now),
        "env_id": "",
        **fields,
    }
    return msgspec.json.encode(message)


def as_json(body: bytes) -> bytes:
    """Return a body as JSON: as it is, or as text."""
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return msgspec.json.encode(body.decode(errors="replace"))
    return body
