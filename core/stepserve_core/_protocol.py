"""What crosses the wire between a server and an app: requests, responses, header names, calls. No I/O.

Source: protocol.md sections 3 and 5.
"""

# Without `from __future__ import annotations`: msgspec would compile the text of each field, which takes twice as long
# as all else that this module does.

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from stepserve_core._version import VERSION
from stepserve_core.errors import BodyInvalidError

SDK_HEADER_VALUE = f"inngest-py:v{VERSION}"
SDK_SYNC_VALUE = f"py:v{VERSION}"
REQUEST_VERSION = "2"
"""Version 2 tells the server to make one discovery call per finished parallel group (6.5)."""

SIGNATURE = "x-inngest-signature"
SDK = "x-inngest-sdk"
SDK_HANDLED = "x-inngest-sdk-handled"
SERVER_KIND = "x-inngest-server-kind"
EXPECTED_SERVER_KIND = "x-inngest-expected-server-kind"
SYNC_KIND = "x-inngest-sync-kind"
ENV = "x-inngest-env"
FRAMEWORK = "x-inngest-framework"
REQ_VERSION = "x-inngest-req-version"
NO_RETRY = "x-inngest-no-retry"
RETRY_AFTER = "retry-after"
REQUEST_ID = "x-request-id"
JOB_ID = "x-inngest-job-id"
EVENT_ID_SEED = "x-inngest-event-id-seed"
RUN_ID = "x-run-id"
GENERATION_ID = "x-inngest-generation-id"
NO_CHECKPOINTS = "x-stepserve-no-checkpoints"
"""Says that steps are best answered one by one: inside one process, and under faults (`Faults.always_replay`)."""
CHANGED_ARGUMENTS = "x-stepserve-changed-arguments"
"""Asks for the steps that were given other arguments than before; the answer has a list of (step, both) as JSON."""
SERVER_TIMING = "server-timing"


class Headers(Protocol):
    """Anything that finds a header by its lower-case name."""

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None."""
        ...


class Request:
    """A request as every adapter hands it over: plain values, the body untouched.

    `url` may be a function that makes it: calls need no more than the query, if `query_string` tells it.
    `raw` is the framework's own request object, for middleware.
    """

    __slots__ = ("_query_string", "_url", "body", "headers", "method", "raw")

    def __init__(
        self,
        method: str,
        url: str | Callable[[], str],
        headers: Headers,
        body: bytes,
        raw: object = None,
        *,
        query_string: str | None = None,
    ) -> None:
        self.method = method
        self._url = url
        self.headers = headers
        self.body = body
        self.raw = raw
        self._query_string = query_string

    @property
    def url(self) -> str:
        """The whole URL, as the caller knows it."""
        return self._url if isinstance(self._url, str) else self._url()

    def query(self) -> dict[str, list[str]]:
        """Return the query parameters; each may come several times."""
        text = self._query_string
        if text is None:
            text = self.url.partition("#")[0].partition("?")[2]
        if "%" in text or "+" in text:
            from urllib.parse import parse_qs  # noqa: PLC0415 - nearly no call needs it

            return parse_qs(text, keep_blank_values=True)
        query: dict[str, list[str]] = {}  # the form of nearly every call, and seven times as fast
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            if pair:
                query.setdefault(name, []).append(value)
        return query


class Response(msgspec.Struct, frozen=True):
    """A response as every adapter takes it: status, headers with lower-case names, bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


class Stack(msgspec.Struct, frozen=True):
    """The hashed ids of finished steps, in the order in which they finished; only parallel steps need to read it."""

    stack: msgspec.Raw = msgspec.Raw(b"null")
    current: int = 0


class CallContext(msgspec.Struct, frozen=True):
    """What the server says about the run (5.2)."""

    attempt: int
    disable_immediate_execution: bool
    run_id: str
    stack: Stack
    max_attempts: int | None = None
    use_api: bool = False
    fn_id: str | None = None
    generation_id: int | None = None
    qi_id: str | None = None
    request_id: str | None = None


class Call(msgspec.Struct):
    """The body of a call. Events stay undecoded until somebody asks for them.

    Memos are decoded with the body: nearly all of them are asked for, and one pass over them takes half the time
    of a thousand small ones.
    """

    ctx: CallContext
    event: msgspec.Raw
    steps: dict[str, Any]
    use_api: bool
    events: list[msgspec.Raw] | None = None
    defers: msgspec.Raw = msgspec.Raw(b"")
    """What the run has deferred, undecoded; empty where the server sends no such thing."""

    def finished(self) -> list[str]:
        """Return the hashed ids of finished steps, in the order in which they finished.

        Raises:
            BodyInvalidError: they are not a list of texts.
        """
        return _decode_stack(self.ctx.stack.stack) or []


def _decoder(shape: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    decode = msgspec.json.Decoder(shape).decode

    def decode_or_refuse(body: bytes | msgspec.Raw) -> Any:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            raise BodyInvalidError(f"the request body is not as the protocol has it: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BodyInvalidError(f"the request body is not JSON, or was cut off: {error}") from None
        except RecursionError:
            raise BodyInvalidError("the request body is nested too deeply") from None

    return decode_or_refuse


_decode_call = _decoder(Call)
_decode_stack = _decoder(list[str] | None)
_decode_sync = _decoder(dict[str, Any])


def parse_call(body: bytes) -> Call:
    """Read the body of a call (5.2).

    Raises:
        BodyInvalidError: it is not JSON, not an object, or lacks a required field; the message says which.
    """
    call: Call = _decode_call(body)
    return call


def parse_sync(body: bytes) -> dict[str, Any]:
    """Read the body of a sync request; an empty body is an empty object (4.2)."""
    if not body.strip():
        return {}
    fields: dict[str, Any] = _decode_sync(body)
    return fields
