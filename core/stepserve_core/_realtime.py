"""How realtime messages are written and read (protocol.md 13.7). `realtime` is what users see."""

from __future__ import annotations

import string
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from urllib.parse import quote

import msgspec

from stepserve_core._converter import converter_for
from stepserve_core._found import Ask
from stepserve_core._opcodes import Opcode
from stepserve_core._rest import ask_server
from stepserve_core._runtime import AsyncRuntime, Runtime, run_in_colour
from stepserve_core._serialize import as_given, encode_output
from stepserve_core.errors import OutputUnserializableError, ServerAPIError

if TYPE_CHECKING:
    from stepserve_core._asks import Asks
    from stepserve_core._client import Inngest

T = TypeVar("T")

PUBLISH, TOKEN, STREAM = "/v1/realtime/publish", "/v1/realtime/token", "/v1/realtime/sse"
_RETRY_PAUSE = 1.0
"""Seconds before a subscription that ended is opened again."""


class Channel:
    """A family of topics. `name` may have places to fill: `Channel("orders:{id}")`."""

    def __init__(self, name: str) -> None:
        if not name:
            raise ValueError("a channel has a name, such as 'orders:{id}'")
        self.name = name

    @overload
    def topic(self, name: str) -> Topic[Any]: ...

    @overload
    def topic(self, name: str, type_: type[T]) -> Topic[T]: ...

    @overload
    def topic(self, name: str, type_: object) -> Topic[Any]: ...

    def topic(self, name: str, type_: object = None) -> Topic[Any]:
        """Return the topic `name`, whose messages carry values of `type_`; without one, whatever JSON can carry."""
        return Topic(self.name, name, type_)


class Topic(Generic[T]):
    """What is published to and subscribed to. Call it to fill the places of its channel: `status(id=7)`."""

    def __init__(self, channel: str, name: str, type_: object = None) -> None:
        if not name:
            raise ValueError("a topic has a name, such as 'status'")
        self.channel = channel
        self.name = name
        self._type = type_
        self._places = {field for _, field, _, _ in string.Formatter().parse(channel) if field is not None}
        if not all(place.isidentifier() for place in self._places):
            raise ValueError(f"the places of a channel have names, as in 'orders:{{id}}': {channel!r}")

    def __call__(self, **fields: object) -> Topic[T]:
        """Return the topic of the channel whose places are filled with `fields`.

        Raises:
            ValueError: a place is left, or a field has none.
        """
        if fields.keys() != self._places:
            wanted = ", ".join(sorted(self._places)) or "nothing"
            given = ", ".join(sorted(fields)) or "nothing"
            raise ValueError(f"the channel {self.channel!r} needs {wanted}, not {given}")
        filled: Topic[T] = Topic("", self.name, self._type)
        filled.channel = self.channel.format_map({name: str(value) for name, value in fields.items()})
        return filled

    def encode(self, data: T) -> bytes:
        """Return the JSON of a message's data.

        Raises:
            ValueError: places of the channel are not filled.
            OutputUnserializableError: JSON cannot carry the data.
        """
        if self._places:
            raise ValueError(f"fill the places of the channel {self.channel!r} first: topic({min(self._places)}=…)")
        where = f"the message to {self.channel}/{self.name}"
        converter = None if self._type is None else converter_for(self._type)
        try:
            return encode_output(data if converter is None else converter.dump(data, where), where)
        except OutputUnserializableError as error:
            raise OutputUnserializableError(as_given(error)) from None

    def decode(self, raw: msgspec.Raw) -> T:
        """Return the data of a message.

        Raises:
            ValueError: it does not fit the topic's type.
        """
        value: Any = msgspec.json.decode(raw)
        converter = None if self._type is None else converter_for(self._type)
        if converter is not None:
            try:
                value = converter.load(value)
            except Exception as error:
                raise ValueError(f"a message to {self.channel}/{self.name} does not fit its type: {error}") from error
        loaded: T = value
        return loaded


class Message(Generic[T]):
    """A message that arrived. `run_id` is that of the run it speaks of, if its sender said so."""

    def __init__(self, topic: Topic[T], data: T, run_id: str | None, created_at: str | None) -> None:
        self.topic = topic
        self.data = data
        self.run_id = run_id
        self.created_at = created_at


class Realtime:
    """`step.realtime` of an `async def` function."""

    def __init__(self, reach: Callable[..., Any], asks: Asks) -> None:
        self._reach = reach
        self._asks = asks

    def publish(self, step_id: str, topic: Topic[T], data: T) -> Coroutine[Any, Any, None]:
        """Send `data` once to all who have subscribed to `topic`."""
        return self._reach(step_id, None, self._asks.publish, topic, data)  # type: ignore[no-any-return]


class RealtimeSync:
    """`step.realtime` of a `def` function."""

    def __init__(self, reach: Callable[..., Any], asks: Asks) -> None:
        self._reach = reach
        self._asks = asks

    def publish(self, step_id: str, topic: Topic[T], data: T) -> None:
        """Send `data` once to all who have subscribed to `topic`."""
        self._reach(step_id, None, self._asks.publish, topic, data)


def ask_publish(client: Inngest, runtime: Runtime, topic: Topic[T], data: T) -> Ask:
    """Ask to publish from the app, as a step."""

    def send() -> Any:
        return run_in_colour(runtime, publish(client, runtime, topic, data, None))

    opts: dict[str, object] = {"channel": topic.channel, "topic": topic.name, "type": "step.realtime.publish"}
    return Ask(Opcode.STEP_RUN, None, opts, send)


async def publish(client: Inngest, runtime: Runtime, topic: Topic[T], data: T, run_id: str | None) -> None:
    """Send a message."""
    query = {"channel": topic.channel, "topic": topic.name, **({"run_id": run_id} if run_id else {})}
    body = topic.encode(data)
    purpose = f"nothing was published to {topic.channel}/{topic.name}"
    await ask_server(client, runtime, "POST", PUBLISH, purpose=purpose, query=query, body=body)


async def subscription_token(client: Inngest, runtime: Runtime, topics: Sequence[Topic[Any]]) -> dict[str, object]:
    """Return what a subscriber needs."""
    channels = {topic.channel for topic in topics}
    if len(channels) != 1:
        raise ValueError("a subscription is for one or more topics of one channel")
    channel, names = channels.pop(), [topic.name for topic in topics]
    body = msgspec.json.encode([{"channel": channel, "name": name, "kind": "run"} for name in names])
    purpose = f"there is no subscription to {channel}"
    response = await ask_server(client, runtime, "POST", TOKEN, purpose=purpose, body=body)
    try:
        key = msgspec.json.decode(response.body, type=_Token).jwt
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ServerAPIError(f"{purpose}: the server answered with something that is no token", 200) from None
    return {"channel": channel, "topics": names, "key": key}


async def subscribe(client: Inngest, topics: Sequence[Topic[T]]) -> AsyncGenerator[Message[T], None]:
    """Yield messages; open the stream again where it ends."""
    import asyncio  # noqa: PLC0415 - sync programs do not pay for importing it

    import httpx  # noqa: PLC0415 - nor programs that do not subscribe for this

    by_name = {topic.name: topic for topic in topics}
    timeout = httpx.Timeout(30.0, read=45.0)  # the server speaks every 15 seconds
    has_begun = False
    async with httpx.AsyncClient(timeout=timeout) as http:
        while True:
            try:
                token = (await subscription_token(client, AsyncRuntime(), topics))["key"]
                url = client.settings.api_url(f"{STREAM}?token={quote(str(token))}")
                has_begun = True
                async with http.stream("GET", url) as response:
                    if response.status_code != 200:
                        purpose = f"the subscription to {topics[0].channel} was refused"
                        raise ServerAPIError(f"{purpose}: HTTP {response.status_code}", response.status_code)
                    async for line in response.aiter_lines():
                        message = _read_line(line, by_name)
                        if message is not None:
                            yield message
            except httpx.HTTPError:
                pass  # the connection broke, or took too long
            except ServerAPIError as error:
                if not has_begun or (error.http_status or 500) < 500:  # else it is starting again, most likely
                    raise
            await asyncio.sleep(_RETRY_PAUSE)  # after a stream that ended in order too: it may end at once each time


def _read_line(line: str, topics: dict[str, Topic[T]]) -> Message[T] | None:
    """Return the message of a line of the stream; None where it is none of ours."""
    if not line.startswith("data:"):
        return None
    received = msgspec.json.decode(line[5:], type=_Received)
    topic = topics.get(received.topic)
    if topic is None or received.kind != "data":
        return None
    return Message(topic, topic.decode(received.data), received.run_id, received.created_at)


class _Token(msgspec.Struct):
    jwt: str


class _Received(msgspec.Struct):
    kind: str = ""
    topic: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    run_id: str | None = None
    created_at: str | None = None
