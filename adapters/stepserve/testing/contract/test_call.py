"""Calls: what an app answers when its server asks it to go on with a run (protocol.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from stepserve import Inngest
from stepserve.testing.contract.fixtures import Make
from stepserve.testing.contract.harness import Harness, Headers
from stepserve.testing.contract.served import App, step_id
from stepserve_core.testing import patience


def _op(name: str, op: str = "StepRun", /, **fields: Any) -> dict[str, Any]:
    userland = {"id": name, "index": None}
    usual = {"displayName": name, "id": step_id(name), "name": name, "op": op, "opts": None, "userland": userland}
    return {**usual, "data": None, **fields}


def test_a_new_run_executes_its_first_step(app: App) -> None:
    reply = app.call("two-steps")

    assert reply.status == 206
    assert reply.json() == [_op("first", data=1)]


def test_a_memo_stands_for_its_step(app: App) -> None:
    reply = app.call("two-steps", steps={step_id("first"): {"data": 5}})

    assert reply.status == 206
    assert reply.json() == [_op("second", data=15)]


def test_a_run_with_all_memos_returns_its_result(app: App) -> None:
    reply = app.call("two-steps", steps={step_id("first"): {"data": 5}, step_id("second"): {"data": 6}})

    assert reply.status == 200
    assert reply.json() == {"first": 5, "second": 6}


@pytest.mark.parametrize("value", [None, 0, "", [], {}, False, 0.5, "text", [1, {"a": None}]])
def test_every_kind_of_result_survives(app: App, value: object) -> None:
    reply = app.call("two-steps", steps={step_id("first"): {"data": value}, step_id("second"): {"data": value}})

    assert reply.json() == {"first": value, "second": value}


def test_a_targeted_call_executes_only_its_target(app: App) -> None:
    reply = app.call("parallel", target=step_id("right"), plan_only=True)

    assert reply.status == 206
    assert reply.json() == [_op("right", data="r")]


def test_a_lone_step_is_planned_if_the_server_asks_for_plans(app: App) -> None:
    reply = app.call("two-steps", plan_only=True)

    assert reply.json() == [_op("first", "StepPlanned")]


def test_parallel_steps_are_planned_together(app: App) -> None:
    reply = app.call("parallel")
    left, right, nap = reply.json()

    assert reply.status == 206
    assert [left, right] == [_op("left", "StepPlanned"), _op("right", "StepPlanned")]
    assert nap == _op("nap", "Sleep", name=nap["name"])


def test_a_target_that_the_function_does_not_reach_is_an_error(
    harness: Harness, client: Inngest, make_functions: Make
) -> None:
    with patience(target=0.1), harness.mount(client, make_functions(client)) as send:
        reply = App(send).call("two-steps", target=step_id("renamed"))

    assert reply.status == 500
    assert reply.json()["code"] == "step_unexpected"


def test_a_call_without_a_target_parameter_has_no_target(app: App) -> None:
    reply = app.call("two-steps", target="step&stepId=ignored")

    assert reply.json() == [_op("first", data=1)]


@pytest.mark.parametrize("function", ["two-steps", "parallel"])
def test_a_run_is_played_to_its_end(app: App, function: str) -> None:
    expected = {"two-steps": {"first": 1, "second": 11}, "parallel": ["l", "r", None]}

    assert expected[function] == app.play(function)


@pytest.mark.parametrize("colour", ["async def"], indirect=True)
def test_gathered_steps_run_like_a_parallel_group(app: App) -> None:
    assert app.play("gathered") == ["l", "r", None]


def test_every_kind_of_step_is_asked_of_the_server(app: App) -> None:
    steps: dict[str, object] = {}
    nap = app.call("every-kind").json()[0]
    steps[step_id("nap")] = None
    wait = app.call("every-kind", steps=steps).json()[0]
    steps[step_id("answer")] = {"data": {}, "id": "event-2", "name": "shop/answered", "ts": 1}
    invoke = app.call("every-kind", steps=steps).json()[0]
    steps[step_id("child")] = {"data": "child's result"}
    invoke_by_id = app.call("every-kind", steps=steps).json()[0]
    steps[step_id("other")] = {"data": 7}
    result = app.call("every-kind", steps=steps).json()

    assert nap == _op("nap", "Sleep", name=nap["name"])
    assert nap["name"].endswith("Z")
    wait_opts = {"if": "event.data.a == 1", "timeout": "2d"}
    assert wait == _op("answer", "WaitForEvent", name="shop/answered", opts=wait_opts)
    invoke_opts = {"function_id": "shop-refund", "payload": {"data": {"n": 1}, "v": None}, "timeout": None}
    assert invoke == _op("child", "InvokeFunction", opts=invoke_opts)
    by_id_opts = {"function_id": "billing-charge", "payload": {"data": None, "v": None}, "timeout": "1m"}
    assert invoke_by_id == _op("other", "InvokeFunction", opts=by_id_opts)
    assert result == ["shop/answered", "child's result", 7]


def test_a_wait_that_timed_out_gives_none(app: App) -> None:
    answers = {"shop/answered": None, "child": {"data": 1}, "other": {"data": 2}}

    assert app.play("every-kind", answers) == [None, 1, 2]


def test_the_function_learns_about_its_run(app: App) -> None:
    headers = [("x-request-id", "request-1"), ("x-inngest-job-id", "job-1")]
    events = [{"data": {}, "id": "e1", "name": "shop/a", "ts": 5}, {"data": None, "name": "shop/b"}]

    assert app.call("facts", attempt=2, events=events, headers=headers).json() == {
        "attempt": 2,
        "events": ["shop/a", "shop/b"],
        "id": "e1",
        "job_id": "job-1",
        "request_id": "request-1",
        "run_id": "run-1",
        "ts": 5,
    }


def test_header_names_may_be_written_in_any_case(app: App) -> None:
    reply = app.call("facts", headers=[("X-REQUEST-ID", "request-1"), ("X-Inngest-JOB-id", "job-1")])

    assert (reply.json()["request_id"], reply.json()["job_id"]) == ("request-1", "job-1")


def test_empty_and_missing_ids_are_none(app: App) -> None:
    reply = app.call("facts", headers=[("x-request-id", "")])

    assert (reply.json()["request_id"], reply.json()["job_id"]) == (None, None)


def test_a_header_that_comes_twice_is_taken_as_the_server_takes_it(app: App, harness: Harness) -> None:
    reply = app.call("facts", headers=[("x-request-id", "one"), ("x-request-id", "two")])
    separator = harness.HEADER_SEPARATOR

    assert reply.json()["request_id"] == ("one" if separator is None else f"one{separator}two")


def test_headers_that_mean_nothing_to_us_may_hold_anything(app: App) -> None:
    odd: Headers = [("x-odd", "é".encode()), ("x-odd", b"\xff"), ("x-long", "a" * 4_000), ("x-empty", "")]

    assert app.call("two-steps", headers=odd).status == 206
