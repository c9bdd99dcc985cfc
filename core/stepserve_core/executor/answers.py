"""What an app answered to a call (executor.md 4.5 and 5.1). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from stepserve_core import _protocol
from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments, limits
from stepserve_core.executor.addresses import show_url
from stepserve_core.executor.decisions import Span
from stepserve_core.executor.failures import Failure, read_error_body
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep

KNOWN_OPCODES = (
    "None",
    "Step",
    "StepRun",
    "StepError",
    "StepPlanned",
    "Sleep",
    "WaitForEvent",
    "InvokeFunction",
    "AIGateway",
    "Gateway",
    "WaitForSignal",
    "RunComplete",
    "StepFailed",
    "SyncRunComplete",
    "DiscoveryRequest",
    "DeferAdd",
    "DeferAbort",
)
_LONGEST_ID = 128
_BY_LOWER_CASE = {name.lower(): name for name in KNOWN_OPCODES}

_NULL = msgspec.Raw(b"null")


class Reply(msgspec.Struct, frozen=True):
    """A response to a call; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Op(msgspec.Struct, rename="camel"):
    """One entry of an answer, as the server reads it. `op` has the spelling of `KNOWN_OPCODES`."""

    op: str
    id: str = ""
    name: str | None = ""
    display_name: str | None = ""
    opts: dict[str, msgspec.Raw] | None = None
    data: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    metadata: msgspec.Raw = _NULL
    timing: msgspec.Raw = _NULL

    @property
    def label(self) -> str:
        """The name to show."""
        return self.display_name or self.name or self.id

    @property
    def races(self) -> bool:
        """Say whether the op belongs to a parallel group in race mode."""
        return bool(self.option("parallelMode") == "race")

    def option(self, key: str) -> Any:
        """Return an entry of `opts`, or None."""
        raw = (self.opts or {}).get(key)
        return None if raw is None else msgspec.json.decode(raw)

    def detail(self) -> bytes | None:
        """Return what the timeline shows of `opts`: the kind of the step and its input, without keys and headers.

        The input of a request that the executor makes is its body. Of a URL it shows no credentials.
        """
        if not self.opts:
            return None
        shown: dict[str, bytes] = {
            key: bytes(self.opts[key]) for key in ("type", "input", "method") if key in self.opts
        }
        url = self.option("url")
        if isinstance(url, str):
            shown["url"] = msgspec.json.encode(show_url(url))
        if "body" in self.opts and self.op in ("AIGateway", "Gateway"):
            shown["input"] = b"[%s]" % bytes(self.opts["body"])
        return canonicalize(fragments.join_object(shown)) if shown else None

    def span(self) -> Span | None:
        """Return when the app executed the step, if it says so: nanoseconds of the start, and of the duration."""
        try:
            timing = msgspec.json.decode(self.timing, type=_Timing)
        except msgspec.DecodeError:
            return None
        return Span(timing.a / 1e9, (timing.a + max(timing.b, 0)) / 1e9)

    def canonical_data(self) -> bytes:
        """Return `data` as canonical JSON."""
        return canonicalize(bytes(self.data))

    @property
    def has_error(self) -> bool:
        """Say whether `error` is there and not null."""
        return bytes(self.error) != fragments.NULL


_Nanoseconds = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Timing(msgspec.Struct):
    a: _Nanoseconds
    b: _Nanoseconds


class Answer(msgspec.Struct, frozen=True):
    """An answer that was understood: steps, the result of the function, or a failure."""

    ops: list[Op] | None = None
    result: bytes | None = None
    failure: Failure | None = None
    no_retry: bool = False
    retry_after: str | None = None
    request_version: int | None = None
    status: int = 0


_decode_ops = msgspec.json.Decoder(list[Op]).decode
_decode_op = msgspec.json.Decoder(Op).decode


class _Envelope(msgspec.Struct):
    status: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    headers: dict[str, Any] = {}


def read_answer(reply: Reply) -> Answer:
    """Say what `reply` means."""
    excess = _find_excess(reply.body)
    if excess is not None:
        return Answer(failure=excess)
    if reply.status == 201:
        reply = open_envelope(reply)
    headers = reply.headers
    version = headers.get(_protocol.REQ_VERSION, "")
    answer = Answer(
        no_retry=headers.get(_protocol.NO_RETRY, "").lower() == "true",
        retry_after=headers.get(_protocol.RETRY_AFTER),
        request_version=int(version) if version.isascii() and version.isdigit() and len(version) < 5 else None,
        status=reply.status,
    )
    if not 200 <= reply.status < 300:
        return _with(answer, failure=_status_failure(reply, answer.no_retry))
    if not headers.get(_protocol.SDK):
        return _with(answer, failure=Failure("not_sdk", "The response did not come from an Inngest SDK"))
    try:
        if reply.status == 206:
            return _with(answer, ops=read_ops(reply.body))
        return _with(answer, result=_read_result(reply.body))
    except OpsInvalidError as error:
        return _with(answer, failure=Failure("invalid_answer", str(error)))


def _find_excess(body: bytes) -> Failure | None:
    if len(body) > limits.ANSWER_BODY:
        return Failure("output_too_large", f"the answer is larger than {limits.ANSWER_BODY} bytes")
    return Failure("invalid_answer", f"the answer is {TOO_DEEP}") if is_too_deep(body) else None


class OpsInvalidError(ValueError):
    """Opcodes that break the protocol."""


def _with(answer: Answer, **changes: Any) -> Answer:
    return msgspec.structs.replace(answer, **changes)


def open_envelope(reply: Reply) -> Reply:
    """Take the real response out of a streamed one (protocol.md 5.7)."""
    try:
        envelope = msgspec.json.decode(reply.body.strip(), type=_Envelope)
    except (ValueError, RecursionError):
        return Reply(500, reply.headers, b'"the streamed answer is not an envelope of status, headers and body"')
    body = bytes(envelope.body)
    if body[:1] == b'"':
        body = msgspec.json.decode(body, type=str).encode()
    inner = {name.lower(): str(value) for name, value in envelope.headers.items()}
    return Reply(envelope.status, {**reply.headers, **inner}, body)


def _status_failure(reply: Reply, no_retry: bool) -> Failure:
    summary = "NonRetriableError" if no_retry else f"invalid status code: {reply.status}"
    if not reply.headers.get(_protocol.SDK):
        message = f"Your server returned HTTP {reply.status} before the SDK responded."
        return Failure(summary, message, name="Server returned a fatal error")
    return read_error_body(reply.body, summary)


def _read_result(body: bytes) -> bytes:
    """Return the function's result as canonical JSON; what is not JSON is text (protocol.md 5.5)."""
    if not body.strip():
        return fragments.NULL
    try:
        return canonicalize(body)
    except RecursionError:
        raise OpsInvalidError("the result is nested too deeply") from None
    except ValueError:
        return fragments.text(body.decode(errors="replace"))


def read_ops(body: bytes) -> list[Op]:
    """Read a list of opcodes, or a single one, and spell them as `KNOWN_OPCODES` does.

    Raises:
        OpsInvalidError: they are no such list, or one of them cannot be used.
    """
    if is_too_deep(body):
        raise OpsInvalidError(f"the list of opcodes is {TOO_DEEP}")
    try:
        ops = [_decode_op(body)] if body.lstrip()[:1] == b"{" else _decode_ops(body)
    except (ValueError, RecursionError) as error:
        raise OpsInvalidError(f"the answer is not a list of opcodes: {error}") from None
    for op in ops:
        name = _BY_LOWER_CASE.get(op.op.lower())
        if name is None:
            raise OpsInvalidError(f"the opcode {op.op!r} is not known")
        op.op = name
        if not op.id and name in ("None", "RunComplete", "SyncRunComplete"):
            continue
        # Ids are hashes. They go into JSON and queue ids as they are, so nothing else is let through.
        if not (op.id.isascii() and op.id.isalnum() and len(op.id) <= _LONGEST_ID):
            raise OpsInvalidError(f"the opcode {op.op} has an id that is not a hash: {op.id[:_LONGEST_ID]!r}")
    return ops
