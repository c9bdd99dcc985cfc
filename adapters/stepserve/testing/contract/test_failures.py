"""Errors of functions and steps, and what the server is told about trying again (protocol.md 5.6, 5.8, 5.9)."""

from __future__ import annotations

import datetime

import pytest

from stepserve.testing.contract.served import App, step_id


def test_an_error_of_a_function_is_reported(app: App) -> None:
    reply = app.call("fails", data={"how": "somehow"})
    error = reply.json()

    assert reply.status == 500
    assert "x-inngest-no-retry" not in reply.headers
    assert (error["code"], error["name"], error["message"]) == ("unknown", "ValueError", "it went wröng")
    assert "in fails" in error["stack"]


def test_an_error_of_a_step_is_reported(app: App) -> None:
    reply = app.call("fails-in-step", data={"how": "somehow"})
    (op,) = reply.json()

    assert reply.status == 206
    assert "x-inngest-no-retry" not in reply.headers
    assert (op["op"], op["id"], op["data"]) == ("StepError", step_id("fail"), None)
    assert (op["error"]["name"], op["error"]["message"]) == ("ValueError", "it went wröng")


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "opcode"), [(2, 4, "StepError"), (3, 4, "StepFailed"), (9, None, "StepError")]
)
def test_the_last_attempt_of_a_step_fails_for_good(
    app: App, attempt: int, max_attempts: int | None, opcode: str
) -> None:
    reply = app.call("fails-in-step", data={"how": "somehow"}, attempt=attempt, max_attempts=max_attempts)

    assert opcode == reply.json()[0]["op"]


@pytest.mark.parametrize("function", ["fails", "fails-in-step"])
def test_an_error_that_is_not_worth_a_retry_says_so(app: App, function: str) -> None:
    reply = app.call(function, data={"how": "for good"})

    assert reply.status == 500
    assert reply.headers["x-inngest-no-retry"] == "true"
    assert reply.json()["message"] == "no use in trying again"


@pytest.mark.parametrize("function", ["fails", "fails-in-step"])
def test_an_error_may_ask_for_a_later_retry(app: App, function: str) -> None:
    before = datetime.datetime.now(datetime.timezone.utc)
    reply = app.call(function, data={"how": "later"})
    after = datetime.datetime.now(datetime.timezone.utc)
    retry_after = datetime.datetime.strptime(reply.headers["retry-after"] + "+0000", "%Y-%m-%dT%H:%M:%S.%fZ%z")

    assert reply.status == 500
    assert "x-inngest-no-retry" not in reply.headers
    # The header has milliseconds, the clock has more.
    assert before - datetime.timedelta(milliseconds=1) <= retry_after - datetime.timedelta(minutes=1) <= after


def test_a_step_that_failed_for_good_raises_in_the_function(app: App) -> None:
    memo = {"error": {"message": "card declined", "name": "CardError", "stack": "the stack"}}
    reply = app.call("two-steps", steps={step_id("first"): memo})

    assert reply.status == 500
    assert reply.headers["x-inngest-no-retry"] == "true"
    expected = {"code": "step_errored", "message": "card declined", "name": "CardError", "stack": "the stack"}
    assert expected == reply.json()


def test_a_result_that_json_cannot_carry_is_an_error(app: App) -> None:
    reply = app.call("unserializable")

    assert reply.status == 500
    assert reply.headers["x-inngest-no-retry"] == "true"
    assert reply.json()["code"] == "output_unserializable"
    assert "function 'unserializable'" in reply.json()["message"]


def test_a_failure_handler_is_a_function_of_its_own(app: App) -> None:
    assert app.play("refund-failure", data={"error": {"message": "card declined"}}) == "card declined"
