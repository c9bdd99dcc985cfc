"""What durable endpoints stream: taken from their apps, and given to their clients (executor.md 10.2 and 10.4)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from stepserve_core._endpoint_events import frame, response_of
from stepserve_core.executor import ids
from stepserve_core.executor.api.endpoints import recorded_answer
from stepserve_core.executor.api.http import HttpError, executor_of
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.realtime.broker import Subscription
from stepserve_core.executor.realtime.endpoint_streams import Frames, Splitter

KEEP_ALIVE = 15.0
"""Seconds of silence after which a subscriber is told that we are still there."""

LONGEST_STREAM = 15 * 60.0
"""Seconds after which a stream of server-sent events ends; subscribers come back with a new token."""

LARGEST_TEE = 1000 * 1024
"""Bytes that one request may pass on."""


def event_stream(events: AsyncGenerator[bytes, None]) -> Response:
    """Answer with server-sent events, to pages of every origin: what lets somebody in is the token."""
    headers = {"cache-control": "no-cache", "access-control-allow-origin": "*", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def pass_on(request: Request) -> Response:
    """Pass on the events of a request as they come; its publisher was let in.

    Raises:
        HttpError: 400: it names no channel, or ends in the middle of an event; 413: it is too large. Events before that
            were passed on.
    """
    run_id = request.query_params.get("channel", "")
    if not run_id:
        raise HttpError(400, "passing on needs a channel: the id of the run")
    streams, splitter, size = executor_of(request).endpoint_streams, Splitter(), 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > LARGEST_TEE:
                raise HttpError(413, f"the request is larger than {LARGEST_TEE} bytes")
            streams.publish(run_id, splitter.feed(piece))
    except ClientDisconnect:
        raise HttpError(400, "the request was cut off") from None
    if not splitter.is_complete:
        raise HttpError(400, "the last event is not whole: an empty line ends it")
    return Response(status_code=200)


async def follow(request: Request, run_id: str) -> Response:
    """Answer with what a run streams, from the start as far as it is kept; at the end, with how its endpoint answered.

    Raises:
        HttpError: 404: there is no such run.
    """
    executor = executor_of(request)
    if ids.is_ulid(run_id) and await executor.read(lambda tables: tables.runs.get(run_id)) is None:
        raise HttpError(404, "run not found")
    # Subscribed now and not when the first byte is asked for: who has our answer misses nothing.
    subscription, kept = executor.endpoint_streams.follow(run_id)
    return event_stream(_events(executor, run_id, subscription, kept))


async def _events(
    executor: Executor, run_id: str, subscription: Subscription, kept: Frames
) -> AsyncGenerator[bytes, None]:
    ends_at = time.monotonic() + LONGEST_STREAM
    try:
        yield b":\n\n" + kept
        is_over = kept.is_last
        while not is_over and not subscription.is_closed and time.monotonic() < ends_at:
            message = await subscription.take(KEEP_ALIVE)
            if message == b"":  # the run has changed
                message = await _response(executor, run_id)
            if message != b"":
                yield b":\n\n" if message is None else message
            is_over = isinstance(message, Frames) and message.is_last
    finally:
        executor.realtime.leave(subscription)


async def _response(executor: Executor, run_id: str) -> Frames:
    """Return how an endpoint answered whose run has ended, if its app could not tell: it was cancelled, or it died."""
    if executor.endpoint_streams.has_ended(run_id):
        return Frames()  # it is among the messages that are left
    run = await executor.read(lambda tables: tables.runs.get(run_id))
    answer = None if run is None else recorded_answer(run)
    if run is None or answer is None:
        return Frames()
    return Frames(frame("inngest.response", response_of(answer, failed=run.status != "Completed")))
