"""Realtime over HTTP: tokens, publishing, server-sent events, WebSockets (executor.md 10)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import anyio
import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from stepserve_core.executor import ids, limits
from stepserve_core.executor.api.endpoint_streams import KEEP_ALIVE, LONGEST_STREAM, event_stream, follow, pass_on
from stepserve_core.executor.api.http import HttpError, executor_of, json_response, read_body, require_key
from stepserve_core.executor.realtime.broker import Broker, Subscription
from stepserve_core.executor.realtime.messages import as_json, make_message
from stepserve_core.executor.realtime.tokens import (
    MOST_TOPICS,
    STREAM,
    Claims,
    TokenInvalidError,
    Topic,
    make_token,
    read_token,
)

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor

_CHUNK = 1024
_MOST_CHUNKS = 1000
_CLOSING = b'{"kind":"closing"}'
_PING = b'{"kind":"ping"}'


async def create_token(request: Request) -> Response:
    """`POST /v1/realtime/token`: a list of topics becomes a token for them."""
    require_key(request)
    body = await read_body(request, limits.REALTIME_MESSAGE)
    try:
        topics = msgspec.json.decode(body, type=list[Topic])
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is no list of topics: {error}") from None
    if not topics or len(topics) > MOST_TOPICS or not all(topic.name for topic in topics):
        raise HttpError(400, f"a token needs 1 to {MOST_TOPICS} topics, each with a name")
    executor = executor_of(request)
    return json_response({"jwt": make_token(executor.realtime.secret, topics, executor.clock.now())}, 201)


async def publish(request: Request) -> Response:
    """`POST /v1/realtime/publish?channel=&topic=`: pass the body on; JSON stays JSON, anything else is text.

    A body of the type text/stream is passed on in pieces, as it comes.
    """
    _require_publisher(request)
    channel, topics = request.query_params.get("channel", ""), request.query_params.getlist("topic")
    if not channel or not all(topics) or not topics:
        raise HttpError(400, "publishing needs a channel and a topic")
    if request.headers.get("content-type", "").startswith("text/stream"):
        await _publish_stream(request, channel, topics)
        return Response(status_code=200)
    body = await read_body(request, limits.REALTIME_MESSAGE)
    for topic in topics:
        _send(request, channel, topic, "data", as_json(body))
    return Response(status_code=200)


async def tee(request: Request) -> Response:
    """`POST /v1/realtime/publish/tee?channel=`: pass on what a durable endpoint streams; the channel is its run.

    The body is server-sent events, which go out as soon as they are whole.
    """
    _require_publisher(request)
    return await pass_on(request)


async def stream(request: Request) -> Response:
    """`GET /v1/realtime/sse?token=`: the messages of the token's topics as server-sent events.

    With the token of a durable endpoint's run, it is what that streams.
    """
    claims = _require_subscriber(request)
    run_id = next((topic.channel for topic in claims.topics if topic.key[1] == STREAM and topic.key[0]), None)
    if run_id is not None:
        return await follow(request, run_id)
    broker = executor_of(request).realtime
    # Subscribed now and not when the first byte is asked for: who has our answer misses nothing.
    subscription = broker.subscribe(claims.topics)
    return event_stream(_events(broker, subscription))


async def _events(broker: Broker, subscription: Subscription) -> AsyncGenerator[bytes, None]:
    ends_at = time.monotonic() + LONGEST_STREAM
    try:
        yield b":\n\n"
        while not subscription.is_closed and time.monotonic() < ends_at:
            message = await subscription.take(KEEP_ALIVE)
            yield b":\n\n" if message is None else b"data: %s\n\n" % message
    finally:
        broker.leave(subscription)


async def connect(socket: WebSocket) -> None:
    """`/v1/realtime/connect?token=`: messages as text frames; `sub` and `unsub` change what is subscribed to."""
    try:
        claims = _require_subscriber(socket)
    except HttpError:
        await socket.close(code=4401)  # before it was accepted: the client sees a refused handshake
        return
    broker = socket.app.state.executor.realtime
    subscription = broker.subscribe(claims.topics)
    try:
        await socket.accept()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send_messages, socket, subscription, tasks.cancel_scope)
            await _read_wishes(socket, subscription)
            tasks.cancel_scope.cancel()
    finally:
        broker.leave(subscription)


async def _send_messages(socket: WebSocket, subscription: Subscription, scope: anyio.CancelScope) -> None:
    try:
        while not subscription.is_closed:
            message = await subscription.take(KEEP_ALIVE)
            if not subscription.is_closed:
                await socket.send_text((message or _PING).decode())
        await socket.send_text(_CLOSING.decode())
        await socket.close()
    except (WebSocketDisconnect, RuntimeError, OSError):  # the client went away while we spoke
        subscription.close()
    scope.cancel()


async def _read_wishes(socket: WebSocket, subscription: Subscription) -> None:
    """Do what a client asks for until it goes away; what cannot be read is ignored, as upstream does."""
    executor: Executor = socket.app.state.executor
    while True:
        try:
            text = await socket.receive_text()
        except (WebSocketDisconnect, KeyError, RuntimeError):
            return
        try:
            wish = msgspec.json.decode(text, type=_Wish)
            if wish.kind == "sub":
                token = msgspec.json.decode(wish.data, type=str)
                subscription.add(read_token(executor.realtime.secret, token, executor.clock.now()).topics)
            elif wish.kind == "unsub":
                subscription.remove(msgspec.json.decode(wish.data, type=list[Topic]))
        except (ValueError, RecursionError):
            continue


class _Wish(msgspec.Struct):
    kind: str
    data: msgspec.Raw = msgspec.Raw(b"null")


async def _publish_stream(request: Request, channel: str, topics: list[str]) -> None:
    stream_id = ids.new_id(executor_of(request).clock.now())
    for topic in topics:
        _send(request, channel, topic, "datastream-start", msgspec.json.encode(stream_id))
    try:
        await _pass_on(request, channel, topics, stream_id)
    except ClientDisconnect:
        raise HttpError(400, "the request was cut off") from None
    finally:
        # Whoever listens must learn that nothing comes any more, also where the publisher hung up.
        for topic in topics:
            _send(request, channel, topic, "datastream-end", msgspec.json.encode(stream_id))


async def _pass_on(request: Request, channel: str, topics: list[str], stream_id: str) -> None:
    count = 0
    async for piece in request.stream():
        for start in range(0, len(piece), _CHUNK):
            count += 1
            if count > _MOST_CHUNKS:
                raise HttpError(413, f"a stream may have {_MOST_CHUNKS} chunks")
            text = piece[start : start + _CHUNK].decode(errors="replace")
            for topic in topics:
                _send(request, channel, topic, "chunk", msgspec.json.encode(text), stream_id=stream_id)


def _send(request: Request, channel: str, topic: str, kind: str, data: bytes, **fields: str) -> None:
    executor = executor_of(request)
    run_id = request.query_params.get("run_id")
    if run_id:
        fields["run_id"] = run_id
    message = make_message(kind, channel, topic, data, executor.clock.now(), **fields)
    executor.realtime.publish(channel, topic, message)


def _token_of(connection: HTTPConnection) -> str:
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else connection.query_params.get("token", "")


def _claims_of(connection: HTTPConnection) -> Claims | None:
    executor: Executor = connection.app.state.executor
    try:
        return read_token(executor.realtime.secret, _token_of(connection), executor.clock.now())
    except TokenInvalidError:
        return None


def _require_subscriber(connection: HTTPConnection) -> Claims:
    """Let only bearers of a subscription token pass, in development too.

    Raises:
        HttpError: 401.
    """
    claims = _claims_of(connection)
    if claims is None or claims.publish:
        raise HttpError(401, "a valid realtime token is needed", plain=True)
    return claims


def _require_publisher(request: Request) -> None:
    """Let bearers of a signing key or of a publishing token pass.

    Raises:
        HttpError: 401.
    """
    claims = _claims_of(request)
    if claims is not None and not claims.publish:
        raise HttpError(401, "this token is for subscribing only", plain=True)
    if claims is None:
        require_key(request)
