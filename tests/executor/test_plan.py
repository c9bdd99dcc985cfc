"""What follows from an answer: tables of (answer, run, attempt) and the decisions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepserve_core.executor.answers import Answer, Reply, read_answer
from stepserve_core.executor.decisions import (
    AbortDefer,
    AddDefer,
    Decision,
    Discover,
    EndRun,
    FailAttempt,
    FinishStep,
    GatewayStep,
    InvokeStep,
    NoteMetadata,
    PlanStep,
    RetryItem,
    RunFacts,
    SetPending,
    SleepStep,
    StepRef,
    UpdateRun,
    WaitSignalStep,
    WaitStep,
    Work,
)
from stepserve_core.executor.plan import RetryPolicy, plan, plan_overflow

NOW = 1_700_000_000.0
SDK = {"x-inngest-sdk": "raw:v1"}
RUN = RunFacts("run", "function", request_version=2, max_attempts=3)
A = StepRef("aa", "a", "StepRun")


def work(attempt: int = 0, kind: str = "discover", step: str | None = None) -> Work:
    return Work("run:item", kind, "run", step, attempt, 1, NOW)


def answer(status: int, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(Reply(status, {**SDK, **named}, json.dumps(body).encode()))


def op(name: str, step_id: str = "aa", **fields: Any) -> dict[str, Any]:
    return {"op": name, "id": step_id, "name": "a", "displayName": "a", **fields}


def decide(given: Answer, attempt: int = 0, run: RunFacts = RUN) -> list[Decision]:
    return plan(work(attempt), run, given, NOW, RetryPolicy(interval=10.0))


def ref(name: str, step_id: str = "aa", detail: bytes | None = None) -> StepRef:
    return StepRef(step_id, "a", name, detail=detail)


INVOKE_OPTIONS = {"function_id": "app-g", "payload": {"data": {"n": 1}}}
ASKED_MODEL = b'{"input":[{"b":1}],"url":"https://x/y"}'
FETCHED = b'{"input":["hi"],"method":"PUT","url":"https://x/y"}'
SINGLE_OPS: dict[str, tuple[dict[str, Any], Decision]] = {
    "a step that ran": (op("StepRun", data={"b": 1, "a": 1.0}), FinishStep(A, b'{"data":{"a":1,"b":1}}')),
    "a step that returned nothing": (op("StepRun", data=None), FinishStep(A, b'{"data":null}')),
    "a step without data": (op("StepRun"), FinishStep(A, b'{"data":null}')),
    "a legacy step, not wrapped": (op("Step", data={"data": 1}), FinishStep(ref("Step"), b'{"data":1}')),
    "an opcode in lower case": (op("steprun", data=1), FinishStep(A, b'{"data":1}')),
    "a failed step": (
        op("StepFailed", error={"name": "E", "message": "m", "stack": "s", "code": "dropped"}),
        FinishStep(ref("StepFailed"), b'{"error":{"message":"m","name":"E","stack":"s"}}', failed=True),
    ),
    "a planned step": (op("StepPlanned"), PlanStep(ref("StepPlanned"))),
    "a sleep by duration": (op("Sleep", opts={"duration": "1h30m"}), SleepStep(ref("Sleep"), NOW + 5400)),
    "a sleep by date": (
        {**op("Sleep"), "name": "2023-11-14T22:14:20.000Z"},
        SleepStep(ref("Sleep"), NOW + 60),
    ),
    "a sleep into the past": (
        {**op("Sleep"), "name": "2001-01-01T00:00:00Z"},
        SleepStep(ref("Sleep"), 978_307_200.0),
    ),
    "a wait": (
        op("WaitForEvent", opts={"event": "e", "timeout": "1d", "if": "async.data.a == 1"}),
        WaitStep(ref("WaitForEvent"), "e", "async.data.a == 1", NOW + 86_400),
    ),
    "a wait named by the op": (
        op("WaitForEvent", opts={"timeout": "1m"}),
        WaitStep(ref("WaitForEvent"), "a", None, NOW + 60),
    ),
    "a wait without timeout": (op("WaitForEvent"), WaitStep(ref("WaitForEvent"), "a", None, NOW)),
    "a wait for a signal": (
        op("WaitForSignal", opts={"signal": "paid", "timeout": "1m", "conflict": "replace"}),
        WaitSignalStep(ref("WaitForSignal"), "paid", True, NOW + 60),
    ),
    "a wait for a signal without timeout": (
        op("WaitForSignal", opts={"signal": "paid"}),
        WaitSignalStep(ref("WaitForSignal"), "paid", False, NOW + 365 * 86_400),
    ),
    "an invocation": (
        op("InvokeFunction", opts={**INVOKE_OPTIONS, "timeout": "1m"}),
        InvokeStep(ref("InvokeFunction"), "app-g", {"data": {"n": 1}}, NOW + 60),
    ),
    "an invocation without timeout": (
        op("InvokeFunction", opts=INVOKE_OPTIONS),
        InvokeStep(ref("InvokeFunction"), "app-g", {"data": {"n": 1}}, NOW + 365 * 86_400),
    ),
    "a request to a model": (
        op("AIGateway", opts={"url": "https://x/y", "body": {"b": 1}}),
        GatewayStep(ref("AIGateway", detail=ASKED_MODEL), b'{"body":{"b":1},"url":"https://x/y"}', "ai_gateway"),
    ),
    "a request of any kind": (
        op("Gateway", opts={"url": "https://x/y", "method": "PUT", "body": "hi", "headers": {"k": "secret"}}),
        GatewayStep(
            ref("Gateway", detail=FETCHED),
            b'{"body":"hi","headers":{"k":"secret"},"method":"PUT","url":"https://x/y"}',
            "gateway",
        ),
    ),
    "a step whose input is known": (
        op("StepRun", data=1, opts={"type": "step.ai.wrap", "input": [1]}),
        FinishStep(ref("StepRun", detail=b'{"input":[1],"type":"step.ai.wrap"}'), b'{"data":1}'),
    ),
    "the end of the run": (op("RunComplete", data={"r": 1}), EndRun("Completed", b'{"r":1}')),
}


@pytest.mark.parametrize("name", SINGLE_OPS)
def test_one_opcode_gives_one_decision(name: str) -> None:
    given, expected = SINGLE_OPS[name]

    assert [expected] == decide(answer(206, [given]))


def test_a_single_object_counts_as_a_list_of_one() -> None:
    assert [FinishStep(A, b'{"data":1}')] == decide(answer(206, op("StepRun", data=1)))


def test_a_discovery_request_asks_for_another_call() -> None:
    (decision,) = decide(answer(206, [op("DiscoveryRequest")]))

    assert isinstance(decision, Discover)
    assert 0.0 == decision.delay


@pytest.mark.parametrize("ops", [[], [{"op": "None"}], [{"op": "None", "id": "aa"}, {"op": "None"}]])
def test_an_answer_without_steps_is_asked_again_but_not_at_once(ops: list[Any]) -> None:
    (decision,) = decide(answer(206, ops))

    assert isinstance(decision, Discover)
    assert 1.0 == decision.delay


def test_the_keys_of_discoveries_do_not_grow_from_call_to_call() -> None:
    item = work()
    for _ in range(5):
        (decision,) = plan(item, RUN, answer(206, []), NOW, RetryPolicy())
        assert isinstance(decision, Discover)
        item = Work(f"run:discover:{decision.key}", "discover", "run", None, 0, 1, NOW)

    assert len(item.id) < 60


ERROR = {"name": "E", "message": "m"}
MEMO = b'{"error":{"message":"m","name":"E"}}'
FINAL = b'{"error":{"message":"m","name":"E","noRetry":true}}'
STEP_ERRORS: dict[str, tuple[Answer, int, list[Decision]]] = {
    "attempts left": (
        answer(206, [op("StepError", error=ERROR)]),
        0,
        [FailAttempt(ref("StepError"), MEMO), RetryItem(NOW + 10, 1)],
    ),
    "the last attempt but one": (
        answer(206, [op("StepError", error=ERROR)]),
        1,
        [FailAttempt(ref("StepError"), MEMO), RetryItem(NOW + 10, 2)],
    ),
    "the last attempt": (
        answer(206, [op("StepError", error=ERROR)]),
        2,
        [FinishStep(ref("StepError"), MEMO, failed=True)],
    ),
    "the header forbids it": (
        answer(206, [op("StepError", error=ERROR)], x_inngest_no_retry="true"),
        0,
        [FinishStep(ref("StepError"), FINAL, failed=True)],
    ),
    "the error forbids it": (
        answer(206, [op("StepError", error={**ERROR, "noRetry": True})]),
        0,
        [FinishStep(ref("StepError"), FINAL, failed=True)],
    ),
    "the answer names a time": (
        answer(206, [op("StepError", error=ERROR)], retry_after="90"),
        0,
        [FailAttempt(ref("StepError"), MEMO), RetryItem(NOW + 90, 1)],
    ),
}


@pytest.mark.parametrize("name", STEP_ERRORS)
def test_a_step_error_is_retried_or_memoised(name: str) -> None:
    given, attempt, expected = STEP_ERRORS[name]

    assert expected == decide(given, attempt)


def test_a_function_error_is_retried_while_attempts_are_left_and_then_ends_the_run() -> None:
    given = answer(500, {"code": "unknown", "name": "E", "message": "m", "stack": None})
    failed, again = decide(given, attempt=1)
    (end,) = decide(given, attempt=2)

    assert FailAttempt(None, b'{"code":"unknown","message":"m","name":"E","stack":null}') == failed
    assert RetryItem(NOW + 10, 2) == again
    assert isinstance(end, EndRun)
    assert ("Failed", "invalid status code: 500") == (end.status, end.failure and end.failure.summary)


def test_a_function_error_that_forbids_retries_ends_the_run_at_once() -> None:
    (end,) = decide(answer(500, ERROR, x_inngest_no_retry="true"))

    assert isinstance(end, EndRun)
    assert "NonRetriableError" == (end.failure and end.failure.summary)


def test_the_result_of_the_function_ends_the_run() -> None:
    assert [EndRun("Completed", b'{"a":1,"b":2}')] == decide(answer(200, {"b": 2, "a": 1.0}))


def test_the_request_version_is_learnt_from_the_first_answer_only() -> None:
    first = msgspec_replace(RUN, request_version=-1)
    given = answer(200, None, x_inngest_req_version="2")

    assert UpdateRun(request_version=2) == decide(given, run=first)[0]
    assert [EndRun("Completed", b"null")] == decide(given)


def msgspec_replace(run: RunFacts, **changes: Any) -> RunFacts:
    import msgspec

    return msgspec.structs.replace(run, **changes)


PLANNED = [op("StepPlanned", "aa"), op("StepPlanned", "bb")]
GROUPS: dict[str, tuple[list[dict[str, Any]], RunFacts, list[Decision]]] = {
    "planned steps": (PLANNED, RUN, [UpdateRun(force_plan=True), SetPending(("aa", "bb"))]),
    "planned steps while planning is forced": (
        PLANNED,
        msgspec_replace(RUN, force_plan=True),
        [SetPending(("aa", "bb"))],
    ),
    "planned steps for an old SDK": (PLANNED, msgspec_replace(RUN, request_version=1), [UpdateRun(force_plan=True)]),
    "a planned step and a sleep": (
        [op("StepPlanned", "aa"), op("Sleep", "bb", opts={"duration": "1s"})],
        RUN,
        [UpdateRun(force_plan=True), SetPending(("aa", "bb"))],
    ),
    "sleeps alone": (
        [op("Sleep", "aa", opts={"duration": "1s"}), op("Sleep", "bb", opts={"duration": "2s"})],
        RUN,
        [UpdateRun(force_plan=True)],
    ),
    "one planned step": ([op("StepPlanned", "aa")], RUN, []),
    "a step and nothing": ([op("StepRun", "aa"), {"op": "None"}], RUN, []),
}


@pytest.mark.parametrize("name", GROUPS)
def test_more_than_one_step_at_once_is_a_group(name: str) -> None:
    ops, run, expected = GROUPS[name]
    about_the_group = [
        found for found in decide(answer(206, ops), run=run) if isinstance(found, (UpdateRun, SetPending))
    ]

    assert expected == about_the_group


def test_race_mode_is_kept_with_the_step() -> None:
    (decision,) = decide(answer(206, [op("StepPlanned", opts={"parallelMode": "race"})]))

    assert PlanStep(StepRef("aa", "a", "StepPlanned", races=True)) == decision


def test_waits_are_carried_out_before_the_steps_beside_them() -> None:
    ops = [op("StepRun", "aa", data=1), op("WaitForEvent", "bb"), op("StepPlanned", "cc")]
    kinds = [type(decision) for decision in decide(answer(206, ops))]

    assert [UpdateRun, SetPending, WaitStep, FinishStep, PlanStep] == kinds


FAILS_THE_RUN: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a sleep over 366 days": ([op("Sleep", opts={"duration": "367d"})], "InngestErrTimeoutTooLong"),
    "a wait over 366 days": ([op("WaitForEvent", opts={"timeout": "53w"})], "InngestErrTimeoutTooLong"),
    "an expression that does not compile": ([op("WaitForEvent", opts={"if": "a =="})], "InvalidExpression"),
    "more than 1000 opcodes": ([op("StepRun", f"{n:x}") for n in range(1001)], "InngestErrFunctionOverflowed"),
}


@pytest.mark.parametrize("name", FAILS_THE_RUN)
def test_some_answers_fail_the_run_whatever_retries_are_left(name: str) -> None:
    ops, error_name = FAILS_THE_RUN[name]
    end = decide(answer(206, ops))[-1]

    assert isinstance(end, EndRun)
    assert ("Failed", error_name) == (end.status, json.loads(end.output)["name"])


def test_state_over_32_mib_fails_the_run() -> None:
    (end,) = decide(answer(206, [op("StepRun", data="x")]), run=msgspec_replace(RUN, state_size=32 << 20))

    assert isinstance(end, EndRun)
    assert "InngestErrStateOverflowed" == json.loads(end.output)["name"]


@pytest.mark.parametrize(("count", "overflows"), [(999, False), (1000, True)])
def test_a_run_with_1000_steps_is_not_called_again(count: int, overflows: bool) -> None:
    assert overflows == (plan_overflow(msgspec_replace(RUN, step_count=count)) is not None)


DEFERS: dict[str, tuple[dict[str, Any], Decision]] = {
    "a defer": (
        op("DeferAdd", opts={"fn_slug": "app-g", "input": {"b": 1, "a": 2.0}}),
        AddDefer("aa", "a", "app-g", b'{"a":2,"b":1}'),
    ),
    "a defer without input": (op("DeferAdd", opts={"fn_slug": "app-g"}), AddDefer("aa", "a", "app-g", b"{}")),
    "a defer without function": (
        op("DeferAdd", opts={"input": {"b": 1}}),
        AddDefer("aa", "a", "", b"{}", "it names no function"),
    ),
    "a defer whose input is a list": (
        op("DeferAdd", opts={"fn_slug": "app-g", "input": [1]}),
        AddDefer("aa", "a", "app-g", b"{}", "its input is no object"),
    ),
    "a defer taken back": (op("DeferAbort", opts={"target_hashed_id": "bb"}), AbortDefer("bb")),
}


@pytest.mark.parametrize("name", DEFERS)
def test_a_defer_goes_before_what_it_accompanies(name: str) -> None:
    given, expected = DEFERS[name]

    assert [expected, EndRun("Completed", b"1")] == decide(answer(206, [op("RunComplete", "cc", data=1), given]))


@pytest.mark.parametrize("nanoseconds", [10**400, 2**63, -(2**63) - 1])
def test_a_time_that_no_clock_shows_is_no_time_at_all(nanoseconds: int) -> None:
    """The steps count all the same; once, such a number kept an item from ever being carried out."""
    steps = [{"op": "StepRun", "id": name, "timing": {"a": nanoseconds, "b": 1}} for name in ("aa", "bb")]
    decisions = decide(answer(206, steps))

    assert [None, None] == [one.span for one in decisions if isinstance(one, FinishStep)]


def test_the_metadata_of_a_step_is_noted_before_its_end() -> None:
    entries = [{"kind": "userland.a", "op": "merge", "values": {"n": 1}}]
    note, _ = decide(answer(206, [op("StepRun", data=1, metadata=entries)]))

    assert isinstance(note, NoteMetadata)
    assert ("aa", entries) == (note.hash, json.loads(note.raws))


def test_a_defer_that_comes_alone_does_not_end_the_calls() -> None:
    first, second = decide(answer(206, [DEFERS["a defer"][0]]))

    assert isinstance(first, AddDefer)
    assert isinstance(second, Discover)


def test_a_defer_makes_no_group_of_the_step_beside_it() -> None:
    kinds = [type(decision) for decision in decide(answer(206, [op("StepPlanned"), DEFERS["a defer"][0]]))]

    assert [AddDefer, PlanStep] == kinds


BROKEN_OPS: dict[str, dict[str, Any]] = {
    "an invocation without function": op("InvokeFunction", opts={"payload": {}}),
    "an invocation without payload": op("InvokeFunction", opts={"function_id": "x"}),
    "an invocation whose timeout is a number": op("InvokeFunction", opts={**INVOKE_OPTIONS, "timeout": 5}),
    "a gateway request without URL": op("AIGateway", opts={}),
    "a gateway request to a file": op("AIGateway", opts={"url": "file:///etc/passwd"}),
    "a wait whose expression is a number": op("WaitForEvent", opts={"if": 1}),
    "a request whose body is no text": op("Gateway", opts={"url": "http://x", "body": {}}),
    "a signal without name": op("WaitForSignal", opts={"timeout": "1m"}),
    "a signal with an unknown rule for conflicts": op("WaitForSignal", opts={"signal": "s", "conflict": "wait"}),
    "a step error without error": op("StepFailed"),
}


@pytest.mark.parametrize("name", BROKEN_OPS)
def test_a_broken_opcode_is_a_failed_attempt(name: str) -> None:
    failed, again = decide(answer(206, [BROKEN_OPS[name]]))

    assert isinstance(failed, FailAttempt)
    assert isinstance(again, RetryItem)
