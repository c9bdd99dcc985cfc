"""`GET /v1/live`: what changed, as server-sent events that can be resumed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stepserve_core.executor.api.endpoint_streams import KEEP_ALIVE, LONGEST_STREAM
from stepserve_core.executor.api.http import require_key
from stepserve_core.executor.live import LiveFeed
from stepserve_core.executor.realtime.broker import Subscription

_RETRY = b"retry: 1000\n\n"
"""Milliseconds after which browsers come back when the stream ends."""


async def follow(request: Request) -> Response:
    """`GET /v1/live`: runs, events and apps that changed. `Last-Event-ID` (or `?after=`) resumes where one was.

    Events: `hello` (the first id), `changes` (`{"runs": [ids], "moreRuns", "events", "apps"}`), and `reset` where what
    came since the last id is not known any more: look anew.
    """
    require_key(request)
    feed: LiveFeed = request.app.state.live
    last_id = request.headers.get("last-event-id") or request.query_params.get("after")
    # Subscribed now and not when the first byte is asked for: who has our answer misses nothing.
    subscription, first = feed.follow(last_id or None)
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_events(feed, subscription, first), media_type="text/event-stream", headers=headers)


async def _events(feed: LiveFeed, subscription: Subscription, first: list[bytes]) -> AsyncGenerator[bytes, None]:
    ends_at = time.monotonic() + LONGEST_STREAM
    try:
        yield _RETRY + b"".join(first)
        while not subscription.is_closed and time.monotonic() < ends_at:
            yield await subscription.take(KEEP_ALIVE) or b":\n\n"
    finally:
        feed.leave(subscription)
