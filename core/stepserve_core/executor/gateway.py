"""Gateway steps: HTTP requests that the executor makes, of any kind or to a model (executor.md 5.9). No I/O."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments
from stepserve_core.executor.backoff import retry_moment
from stepserve_core.executor.decisions import (
    AI_GATEWAY,
    GATEWAY,
    Decision,
    FailAttempt,
    FinishStep,
    RetryItem,
    RunFacts,
    StepRef,
    Work,
)
from stepserve_core.executor.gateway_messages import GatewayReply, GatewayRequest
from stepserve_core.executor.plan import RetryPolicy

KINDS = frozenset({GATEWAY, AI_GATEWAY})
"""The kinds of queue items that are carried out here."""

_OPCODES = {GATEWAY: "Gateway", AI_GATEWAY: "AIGateway"}
_ERRORS = {GATEWAY: "GatewayError", AI_GATEWAY: "AIGatewayError"}

_OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "content-encoding", "content-length", "transfer-encoding"})
"""Headers of a reply that say how it came here; they are not true of the body that is memoised."""


class Problem(msgspec.Struct, frozen=True):
    """Why there is no reply."""

    message: str
    retriable: bool = True


class Publication(msgspec.Struct, frozen=True):
    """Where a reply is published too."""

    channel: str
    topic: str


class _Published(msgspec.Struct):
    publish: Publication | None = None


class _Options(msgspec.Struct):
    url: str
    method: str = "POST"
    headers: dict[str, str] = {}
    body: str | None = None


class _AIOptions(msgspec.Struct):
    url: str
    format: str = ""
    auth_key: str = ""
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")


def build_request(kind: str, options: bytes) -> GatewayRequest:
    """Return the request for the stored `opts` of a step.

    Raises:
        ValueError: the options do not have the shape of executor.md 5.9.
    """
    return _build_ai_request(options) if kind == AI_GATEWAY else _build_request(options)


def read_publication(options: bytes) -> Publication | None:
    """Return where the reply is to be published, for whoever has subscribed (executor.md 5.9)."""
    try:
        return msgspec.json.decode(options, type=_Published).publish
    except msgspec.ValidationError:
        return None


def _build_request(options: bytes) -> GatewayRequest:
    given = msgspec.json.decode(options, type=_Options)
    method = given.method.upper()
    if not (method.isascii() and method.isalpha()):
        raise ValueError(f"{given.method!r} is not an HTTP method")
    headers = {name.lower(): value for name, value in given.headers.items()}
    # The connection is ours: its host, length and encoding are too.
    for name in ("host", "content-length", "connection", "transfer-encoding", "accept-encoding"):
        headers.pop(name, None)
    return GatewayRequest(method, given.url, headers, (given.body or "").encode())


def _build_ai_request(options: bytes) -> GatewayRequest:
    given = msgspec.json.decode(options, type=_AIOptions)
    headers = {"content-type": "application/json"}
    url = given.url
    if given.format == "anthropic":
        headers["x-api-key"] = given.auth_key
    elif given.format == "gemini":
        parts = urlsplit(url)
        url = urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ("key", given.auth_key)])))
    elif given.auth_key:
        headers["authorization"] = given.auth_key if given.format == "bedrock" else f"Bearer {given.auth_key}"
    headers.update({name.lower(): value for name, value in given.headers.items()})
    return GatewayRequest("POST", url, headers, bytes(given.body))


def plan_gateway(
    work: Work, run: RunFacts, reply: GatewayReply | Problem, now: float, policy: RetryPolicy
) -> list[Decision]:
    """Return what follows from the reply.

    Every status is a success for `Gateway`; for `AIGateway` those from 300 on are failures, which are retried.
    """
    step = StepRef(work.step or "", work.step or "", _OPCODES[work.kind])
    if isinstance(reply, GatewayReply) and work.kind == GATEWAY:
        return [FinishStep(step, b'{"data":%s}' % _describe(reply))]
    if isinstance(reply, GatewayReply) and reply.status <= 299:
        return [FinishStep(step, b'{"data":%s}' % _as_json(reply.body))]
    error: dict[str, Any] = {"name": _ERRORS[work.kind]}
    retry_after = None
    if isinstance(reply, GatewayReply):
        retry_after = reply.headers.get("retry-after")
        error["message"] = _provider_message(reply)
        error["data"] = msgspec.json.decode(_as_json(reply.body))
    else:
        error["message"] = reply.message
    memo = fragments.encode({"error": error})
    retriable = not isinstance(reply, Problem) or reply.retriable
    if not retriable or work.attempt + 1 >= run.max_attempts:
        return [FinishStep(step, memo, failed=True)]
    moment = retry_moment(
        work.attempt, now, retry_after=retry_after, retry_interval=policy.interval, jitter=policy.jitter
    )
    return [FailAttempt(step, memo), RetryItem(moment, work.attempt + 1)]


def _describe(reply: GatewayReply) -> bytes:
    headers = {name: value for name, value in reply.headers.items() if name not in _OF_THE_CONNECTION}
    fields = {"url": reply.url, "headers": headers, "body": _as_text(reply), "status_code": reply.status}
    return fragments.encode(fields)


def _as_text(reply: GatewayReply) -> str:
    """Return the body as text, in the charset that it names; the protocol carries no bytes."""
    parameters = reply.headers.get("content-type", "").split(";")[1:]
    named = [text.partition("=")[2].strip(" \"'") for text in parameters if text.strip().lower().startswith("charset=")]
    try:
        return reply.body.decode(named[0] if named else "utf-8", errors="replace")
    except (LookupError, ValueError):
        return reply.body.decode(errors="replace")


def _as_json(body: bytes) -> bytes:
    try:
        return canonicalize(body) or fragments.NULL
    except (ValueError, RecursionError):
        return fragments.text(body.decode(errors="replace"))


def _provider_message(reply: GatewayReply) -> str:
    """Take the message out of `{"error": {"message": …}}`, the shape that providers use."""
    fallback = f"the provider answered HTTP {reply.status}"
    try:
        value = msgspec.json.decode(reply.body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return fallback
    nested = value.get("error")
    message = nested.get("message") if isinstance(nested, dict) else value.get("message")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    return message if isinstance(message, str) else fallback
