"""What is fuzzed: a function for each parser, that takes any bytes and fails where the parser does what it must not.

A parser may refuse its input with the errors that its documentation names; whatever it accepts must hold together.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import rfc8785

from stepserve_core import _durations
from stepserve_core._canonical import canonicalize
from stepserve_core._memos import read_memo
from stepserve_core._protocol import parse_call
from stepserve_core._signature import sign, verify
from stepserve_core.errors import BodyInvalidError, UnauthorizedError
from stepserve_core.executor import ids
from stepserve_core.executor.answers import Reply, read_answer, read_ops
from stepserve_core.executor.backoff import parse_retry_after
from stepserve_core.executor.decisions import RunFacts, Work
from stepserve_core.executor.events import read_events
from stepserve_core.executor.expressions import (
    Expression,
    ExpressionFailedError,
    ExpressionInvalidError,
    compile_expression,
)
from stepserve_core.executor.functions import RegistrationInvalidError, read_registration
from stepserve_core.executor.moments import parse_moment
from stepserve_core.executor.plan import RetryPolicy, plan
from stepserve_core.executor.schedules import ScheduleInvalidError, parse_schedule

KEY = "signkey-test-abcd"
NOW = 1_700_000_000
EVENT: dict[str, Any] = {
    "name": "shop/ordered",
    "ts": NOW * 1000,
    "data": {"id": "A-1", "amount": 12.5, "big": 2**60, "list": [1, "a", None, {"b": True}], "text": "héllo 😀"},
}
_LARGEST_EXACT = 2**53 - 1


def text_of(data: bytes) -> str:
    """Return any text, with lone surrogates where they are encoded."""
    try:
        return data.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def signature(data: bytes) -> None:
    """Nothing but what has the key makes a signature that is accepted, and what has it is."""
    header, _, body = data.partition(b"\n")
    with contextlib.suppress(UnauthorizedError):
        verify(body, header.decode("latin-1"), [KEY], NOW)
        raise AssertionError(f"{header!r} was accepted")
    assert verify(body, sign(body, KEY, NOW), [KEY], NOW) == KEY


def call(data: bytes) -> None:
    """The body of a call is read, with all of its memos, or refused."""
    with contextlib.suppress(BodyInvalidError):
        parsed = parse_call(data)
        for memo in parsed.steps.values():
            read_memo(memo)


def canonical(data: bytes) -> None:
    """What JSON has exactly is written as the library rfc8785 does; once canonical, it stays so."""
    try:
        ours = canonicalize(data)
    except (ValueError, RecursionError):
        return
    assert canonicalize(ours) == ours
    if not data:
        return
    value = json.loads(data)
    if _is_exact(value):
        assert rfc8785.dumps(value) == ours


def _is_exact(value: Any) -> bool:
    """Say whether the library writes such a value: it refuses integers that a double does not hold."""
    if isinstance(value, dict):
        return all(map(_is_exact, value.values()))
    if isinstance(value, list):
        return all(map(_is_exact, value))
    if isinstance(value, int):
        return abs(value) <= _LARGEST_EXACT
    return not isinstance(value, float) or math.isfinite(value)


def expression(data: bytes) -> None:
    """An expression is refused, or gives a value or an error; written with the values of its event, the same one."""
    text = text_of(data)
    try:
        compiled = compile_expression(text)
    except ExpressionInvalidError:
        return
    awaited = {"name": "shop/paid", "data": {"id": "A-1", "amount": 3}}
    _outcome(compiled, awaited)
    bound = compiled.bind(EVENT)
    try:
        written = compile_expression(bound.text)
    except ExpressionFailedError:
        return
    assert repr(_outcome(bound, awaited)) == repr(_outcome(written, awaited))


def _outcome(compiled: Expression, awaited: dict[str, Any]) -> object:
    try:
        return compiled.evaluate(EVENT, awaited)
    except ExpressionFailedError:
        return "failed"


def schedule(data: bytes) -> None:
    """A schedule is refused, or it fires after now, again after that, and on whole minutes."""
    try:
        parsed = parse_schedule(text_of(data))
    except ScheduleInvalidError:
        return
    first = parsed.next_after(NOW)
    second = parsed.next_after(first)
    assert NOW < first < second
    assert first % 60 == second % 60 == 0


def duration(data: bytes) -> None:
    """A duration is refused, or is a number of milliseconds, which its text names again."""
    text = text_of(data)
    with contextlib.suppress(ValueError):
        milliseconds = _durations.parse(text)
        if 1000 <= milliseconds < 10**15 and milliseconds % 1000 == 0:
            assert _durations.parse(_durations.to_text(milliseconds)) == milliseconds


def moment(data: bytes) -> None:
    """A moment is refused, or is a number; so is what a Retry-After header asks for."""
    text = text_of(data)
    asked = parse_retry_after(text, NOW)
    assert asked is None or NOW + 1 <= asked <= NOW + 86_400
    with contextlib.suppress(ValueError, OverflowError):
        assert math.isfinite(parse_moment(text, NOW))


def events(data: bytes) -> None:
    """The body of a request to the event API is read or refused, whatever it says that it is."""
    head, _, body = data.partition(b"\n")
    seed, _, content_type = head.decode("latin-1").partition(";")
    ids.read_seed(seed)
    for intake in (
        read_events(body, content_type or "application/json", seed, NOW),
        read_events(body, "application/x-www-form-urlencoded", None, NOW),
    ):
        for event in intake.events:
            json.loads(event.body)
        assert intake.events or intake.error is not None or body.strip().startswith(b"[")


def registration(data: bytes) -> None:
    """What an app registers is read or refused."""
    with contextlib.suppress(RegistrationInvalidError):
        read_registration(data)


def answer(data: bytes) -> None:
    """Whatever an app answers, there is something to do about it."""
    run = RunFacts("run", "function")
    for status in (200, 206, 500):
        read = read_answer(Reply(status, {"x-inngest-sdk": "a:v1", "content-type": "application/json"}, data))
        assert plan(Work("item", "discover", "run", None, 0, 1, NOW), run, read, NOW, RetryPolicy())
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        read_ops(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "signature": signature,
    "call": call,
    "canonical": canonical,
    "expression": expression,
    "schedule": schedule,
    "duration": duration,
    "moment": moment,
    "events": events,
    "registration": registration,
    "answer": answer,
}
