"""The AI gateway: an HTTP request that the executor makes for a step (executor.md 5.9)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.backoff import retry_moment
from stepserve_core.executor.calls import CallRequest
from stepserve_core.executor.decisions import Decision, FailAttempt, FinishStep, RetryItem, RunFacts, StepRef, Work
from stepserve_core.executor.plan import RetryPolicy

OPCODE = "AIGateway"


class _Options(msgspec.Struct):
    url: str
    format: str = ""
    auth_key: str = ""
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")


def build_request(options: bytes) -> CallRequest:
    """Return the provider's request for the stored `opts` of the step.

    Raises:
        ValueError: the options do not have the shape of executor.md 5.9.
    """
    given = msgspec.json.decode(options, type=_Options)
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
    return CallRequest(url, headers, bytes(given.body))


def plan_gateway(
    work: Work, run: RunFacts, reply: Reply | None, problem: str, now: float, policy: RetryPolicy
) -> list[Decision]:
    """Return what follows from the provider's reply; without one, `problem` says why."""
    step = StepRef(work.step or "", work.step or "", OPCODE)
    if reply is not None and reply.status <= 299:
        return [FinishStep(step, b'{"data":%s}' % _as_json(reply.body))]
    error: dict[str, Any] = {"name": "AIGatewayError", "message": problem}
    retry_after = None
    if reply is not None:
        retry_after = reply.headers.get("retry-after")
        error["message"] = _provider_message(reply)
        error["data"] = msgspec.json.decode(_as_json(reply.body))
    memo = fragments.encode({"error": error})
    if work.attempt + 1 >= run.max_attempts:
        return [FinishStep(step, memo, failed=True)]
    moment = retry_moment(
        work.attempt, now, retry_after=retry_after, retry_interval=policy.interval, jitter=policy.jitter
    )
    return [FailAttempt(step, memo), RetryItem(moment, work.attempt + 1)]


def _as_json(body: bytes) -> bytes:
    try:
        return canonicalize(body) or fragments.NULL
    except (ValueError, RecursionError):
        return fragments.text(body.decode(errors="replace"))


def _provider_message(reply: Reply) -> str:
    """Take the message out of `{"error": {"message": …}}`, the shape that providers use."""
    fallback = f"the provider answered HTTP {reply.status}"
    try:
        value = msgspec.json.decode(reply.body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return fallback
    nested = value.get("error")
    message = nested.get("message") if isinstance(nested, dict) else value.get("message")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    return message if isinstance(message, str) else fallback
