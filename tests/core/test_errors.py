"""The public errors: their tree, their codes, what of them crosses the wire (protocol.md 5.9, 11)."""

from __future__ import annotations

import datetime
import inspect
import re
import time
from typing import Any

import pytest

from stepserve_core import _durations, _failure, errors
from stepserve_core.errors import runs
from tests.core.calls import call, hashed


@pytest.mark.parametrize(
    ("cls", "code", "is_retriable", "status"),
    [
        (errors.Error, "unknown", True, 500),
        (errors.FunctionConfigInvalidError, "function_config_invalid", True, 500),
        (errors.AsyncUnsupportedError, "async_unsupported", True, 500),
        (errors.SigVerificationFailedError, "sig_verification_failed", True, 401),
        (errors.SignatureExpiredError, "sig_verification_failed", True, 401),
        (errors.SignatureMalformedError, "sig_verification_failed", True, 401),
        (errors.BodyInvalidError, "body_invalid", True, 500),
        (errors.EventKeyUnspecifiedError, "event_key_unspecified", True, 500),
        (errors.FunctionNotFoundError, "function_not_found", True, 500),
        (errors.HeaderMissingError, "header_missing", True, 401),
        (errors.QueryParamMissingError, "query_param_missing", True, 500),
        (errors.SigningKeyMissingError, "signing_key_unspecified", True, 500),
        (errors.RegistrationFailedError, "registration_failed", True, 500),
        (errors.StepUnexpectedError, "step_unexpected", True, 500),
        (errors.OutputUnserializableError, "output_unserializable", False, 500),
        (errors.NonRetriableError, "non_retriable_error", False, 500),
        (errors.RetryAfterError, "retry_after_error", True, 500),
        (errors.SendEventsError, "send_event_failed", True, 500),
        (errors.StepError, "step_errored", False, 500),
    ],
)
def test_the_code_of_an_error(cls: type[errors.Error], code: str, is_retriable: bool, status: int) -> None:
    assert (code, is_retriable, status) == (cls.code, cls.is_retriable, cls.status)


def test_every_error_derives_from_the_base_and_stands_in_the_drawn_tree() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and value.__module__.startswith(f"{errors.__name__}.")
    ]

    assert ["UnreachableError"] == [cls.__name__ for cls in classes if not issubclass(cls, errors.Error)]
    assert [] == [cls.__name__ for cls in classes if cls.__name__ not in (errors.__doc__ or "")]


def _drawn() -> list[tuple[str, str]]:
    """Return the pairs of class and base class that the docstring of the module draws."""
    path, pairs = {}, []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:│   |    )*(?:├── |└── )?)([A-Z]\w+)", line)
        if found and (found[1] or found[2] in ("Error", "Exception")):
            depth = len(found[1]) // 4
            path[depth] = found[2]
            pairs += [(found[2], path[depth - 1])] if depth else []
    return pairs


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = _drawn()

    assert len(drawn) > 25
    assert drawn == [(name, getattr(errors, name).__bases__[0].__name__) for name, _ in drawn]
    assert len(drawn) == len({name for name, _ in drawn})


def test_a_coded_error_has_the_code_it_was_given() -> None:
    error = errors.CodedError("mine", "text", is_retriable=False)

    assert ("mine", "text", False) == (error.code, error.message, errors.is_retriable(error))
    assert ("url_invalid", "") == (errors.URLInvalidError().code, errors.URLInvalidError().message)
    assert ("mine", "x") == (errors.URLInvalidError("mine", "x").code, errors.URLInvalidError("mine", "x").message)


def test_a_non_retriable_error_needs_no_message() -> None:
    assert "None" == errors.NonRetriableError().message
    assert "why" == errors.NonRetriableError("why").message


@pytest.mark.parametrize("given", [60_000, datetime.timedelta(minutes=1), "1m"])
def test_retry_after_counts_from_now(given: int | datetime.timedelta | str) -> None:
    before = datetime.datetime.now()

    retry_after = errors.RetryAfterError("later", given).retry_after

    minute = datetime.timedelta(minutes=1)
    assert before + minute <= retry_after <= datetime.datetime.now() + minute


def test_retry_after_takes_a_moment_as_it_is() -> None:
    moment = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)

    assert moment == errors.RetryAfterError("later", moment).retry_after


@pytest.mark.parametrize("tzinfo", [None, datetime.timezone.utc])
def test_a_moment_without_time_zone_is_local_time(
    tzinfo: datetime.tzinfo | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        moment = datetime.datetime(2030, 1, 1, 12, tzinfo=tzinfo)
        wire = _durations.to_iso(errors.RetryAfterError("later", moment).retry_after)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert ("2030-01-01T17:00:00.000Z" if tzinfo is None else "2030-01-01T12:00:00.000Z") == wire


@pytest.mark.parametrize("now", ["2026-03-29T00:30:00+00:00", "2026-10-25T00:30:00+00:00"])
def test_retry_after_counts_right_while_clocks_are_changed(now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        moment = datetime.datetime.fromisoformat(now)
        reached = runs._local_after(3_600_000, moment)
        wire = _durations.to_iso(reached)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert reached.tzinfo is None
    assert now.replace("00:30:00+00:00", "01:30:00.000Z") == wire


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1.5, TypeError), (None, TypeError), (True, TypeError), ("soon", ValueError)],
)
def test_retry_after_refuses_what_is_no_time(given: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="a duration"):
        errors.RetryAfterError("later", given)


def test_a_step_error_keeps_the_name_and_the_stack_of_the_original() -> None:
    error = errors.StepError("boom", "ValueError", "Traceback …")

    assert ("boom", "ValueError", "Traceback …", "step_errored") == (error.message, error.name, error.stack, error.code)


@pytest.mark.parametrize(
    ("error", "quiet"),
    [
        (errors.NonRetriableError("x"), False),
        (errors.NonRetriableError("x", quiet=True), True),
        (errors.RetryAfterError("x", 1), False),
        (errors.RetryAfterError("x", 1, quiet=True), True),
        (ValueError(), False),
    ],
)
def test_quiet_errors(error: Exception, quiet: bool) -> None:
    assert quiet == errors.is_quiet(error)


def test_other_errors_are_retriable() -> None:
    assert errors.is_retriable(ValueError())


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_error_of_the_user_on_the_wire() -> None:
    wire = _failure.to_wire(_raised(ValueError("boom")))

    assert ("unknown", "boom", "ValueError") == (wire.code, wire.message, wire.name)
    assert wire.stack is not None
    assert "in _raised" in wire.stack
    assert "ValueError: boom" in wire.stack


def test_an_error_whose_text_cannot_be_made_is_still_reported() -> None:
    class BadError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    wire = _failure.to_wire(_raised(BadError()))

    assert ("BadError", "(str() of this error raised RuntimeError)") == (wire.name, wire.message)


def test_an_error_whose_text_is_no_text_is_still_reported() -> None:
    def no_text(self: object) -> None:
        del self

    Odd = type("Odd", (Exception,), {"__str__": no_text})

    assert "Odd" == _failure.to_wire(_raised(Odd())).name


def test_a_text_with_half_characters_is_reported_all_the_same() -> None:
    wire = _failure.to_wire(_raised(ValueError("no file caf\udce9")))

    assert ("ValueError", "no file caf\\udce9") == (wire.name, wire.message)
    assert wire.stack is not None
    assert "no file caf\\udce9" in wire.stack


def test_an_error_that_was_not_raised_has_a_stack_of_one_line() -> None:
    assert "stepserve_core.errors.requests.BodyInvalidError: no\n" == errors.BodyInvalidError("no").stack


def test_a_step_error_on_the_wire_keeps_the_original() -> None:
    wire = _failure.to_wire(_raised(errors.StepError("boom", "ValueError", None)))

    assert ("step_errored", "boom", "ValueError", None) == (wire.code, wire.message, wire.name, wire.stack)


def test_an_unexpected_step_carries_no_stack() -> None:
    assert _failure.to_wire(_raised(errors.StepUnexpectedError("x"))).stack is None


def test_our_own_error_raised_by_a_user_carries_a_stack() -> None:
    stack = _failure.to_wire(_raised(errors.NonRetriableError("why"))).stack

    assert stack is not None
    assert "in _raised" in stack
    assert "why" in stack


FAILED = {"error": {"name": "ValueError", "message": "boom", "stack": "Traceback …"}}


@pytest.mark.parametrize(
    ("failed", "more", "expected"),
    [
        ("a", {}, "a"),
        ("a:1", {"a": {"data": 1}}, "a:1"),
        ("b", {"a": {"data": 1}, "a:1": {"data": 1}}, "b"),
        ("b", {"a": {"data": 1}, "a:1": {"data": 1}, "gone": {"data": 1}}, "b"),
    ],
)
def test_a_step_error_names_its_step(colour: str, failed: str, more: dict[str, Any], expected: str) -> None:
    async def body(ctx: Any) -> object:
        try:
            await ctx.step.run("a", lambda: 1)
            await ctx.step.run("a", lambda: 1)
            await ctx.step.sleep("b", 1000)
        except errors.StepError as error:
            return [error.step_id, error.name, error.message, error.stack]
        return "no error"

    steps = {hashed(step): memo for step, memo in {**more, failed: FAILED}.items()}

    assert [expected, "ValueError", "boom", "Traceback …"] == call(colour, body, steps=steps).json


def test_a_step_error_that_escapes_ends_the_run(colour: str) -> None:
    async def body(ctx: Any) -> None:
        await ctx.step.run("a", lambda: 1)

    reply = call(colour, body, steps={hashed("a"): FAILED})

    error = {"code": "step_errored", "message": "boom", "name": "ValueError", "stack": "Traceback …"}
    assert (500, error, "true") == (reply.status, reply.json, reply.headers["x-inngest-no-retry"])


def test_a_retry_after_error_says_when(colour: str) -> None:
    moment = datetime.datetime(2030, 1, 2, 3, 4, 5, 678_999, tzinfo=datetime.timezone.utc)

    async def body(ctx: Any) -> None:
        raise errors.RetryAfterError("later", moment)

    reply = call(colour, body)

    assert (500, "2030-01-02T03:04:05.678Z") == (reply.status, reply.headers["retry-after"])
    assert "x-inngest-no-retry" not in reply.headers
