"""Reading answers and building calls, byte by byte."""

from __future__ import annotations

import json

import pytest

from stepserve_core._canonical import canonicalize
from stepserve_core._signature import verify
from stepserve_core.executor.answers import Reply, read_answer
from stepserve_core.executor.calls import CallRequest, RunState, build_call
from stepserve_core.executor.decisions import RunFacts, Work
from stepserve_core.executor.failures import read_error_body
from stepserve_core.executor.trace_context import write_traceparent

SDK = {"x-inngest-sdk": "raw:v1"}
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", b"null"),
        (b" \n", b"null"),
        (b'{"b":1.0,"a":[1e3]}', b'{"a":[1000],"b":1}'),
        (b"plain text", b'"plain text"'),
        (b"\xff", '"\ufffd"'.encode()),
    ],
)
def test_the_result_is_canonical_json_and_other_text_is_a_string(body: bytes, result: bytes) -> None:
    assert result == read_answer(Reply(200, SDK, body)).result


@pytest.mark.parametrize("inner", [[{"op": "StepRun", "id": "aa", "data": 1}], '[{"op":"StepRun","id":"aa","data":1}]'])
def test_a_streamed_answer_is_taken_out_of_its_envelope(inner: object) -> None:
    envelope = {"status": 206, "body": inner, "headers": {"X-Inngest-No-Retry": "true"}}
    answer = read_answer(Reply(201, SDK, b"   " + json.dumps(envelope).encode()))

    assert answer.ops is not None
    assert (["StepRun"], True, 206) == ([op.op for op in answer.ops], answer.no_retry, answer.status)


def test_names_that_are_null_count_as_missing() -> None:
    ops = [{"op": "WaitForEvent", "id": "aa", "name": None, "displayName": None, "opts": None, "data": None}]
    answer = read_answer(Reply(206, SDK, json.dumps(ops).encode()))

    assert answer.ops is not None
    assert [("WaitForEvent", "aa")] == [(op.op, op.label) for op in answer.ops]


def test_a_broken_envelope_is_a_failure() -> None:
    failure = read_answer(Reply(201, SDK, b"   nonsense")).failure

    assert failure is not None
    assert "not an envelope" in failure.message


@pytest.mark.parametrize(
    ("version", "expected"), [("2", 2), ("", None), ("x", None), ("-1", None), ("99999999", None), ("²", None)]
)
def test_the_request_version_is_a_small_number_or_nothing(version: str, expected: int | None) -> None:
    assert expected == read_answer(Reply(200, {**SDK, "x-inngest-req-version": version}, b"")).request_version


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        (b'{"name":"E","message":"m"}', "E", "m"),
        (b'{"error":{"name":"E","message":"m"}}', "E", "m"),
        (b'"text"', "Error", "text"),
        (b"text", "Error", "text"),
        (b"[1]", "Error", "invalid status code: 500"),
        (b"", "Error", "invalid status code: 500"),
        (b'{"name":1,"message":null}', "Error", "invalid status code: 500"),
    ],
)
def test_errors_are_read_tolerantly(body: bytes, name: str, message: str) -> None:
    failure = read_error_body(body, "invalid status code: 500")

    assert (name, message) == (failure.name, failure.message)


WORK = Work("run:discover:aa", "discover", "01ARZ3NDEKTSV4RRFFQ69G5FAV", None, 1, 7, NOW)
RUN = RunFacts("01ARZ3NDEKTSV4RRFFQ69G5FAV", "fn-uuid", request_version=2, force_plan=True, max_attempts=4)
URL = "http://app/api/inngest?fnId=a-f&stepId=step"
EVENT = b'{"data":{"n":1},"id":"e","name":"x","ts":1,"user":{}}'


def call(state: RunState, work: Work = WORK, url: str = URL, key: str | None = None) -> CallRequest:
    return build_call(work, RUN, state, url, request_id="01REQ", signing_key=key, now=NOW)


def test_a_call_has_the_body_and_the_headers_of_the_protocol() -> None:
    request = call(RunState([EVENT], [("aa", b'{"data":1}'), ("bb", b"null")], ["bb", "aa"]))

    assert {
        "ctx": {
            "attempt": 1,
            "disable_immediate_execution": True,
            "env": "",
            "fn_id": "fn-uuid",
            "generation_id": 7,
            "job_id": "run:discover:aa",
            "max_attempts": 4,
            "qi_id": "cnVuOmRpc2NvdmVyOmFhOjpkZWZhdWx0",
            "request_id": "01REQ",
            "run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "stack": {"current": 2, "stack": ["bb", "aa"]},
            "step_id": "step",
            "use_api": False,
        },
        "defers": {},
        "event": json.loads(EVENT),
        "events": [json.loads(EVENT)],
        "steps": {"aa": {"data": 1}, "bb": None},
        "use_api": False,
        "version": 2,
    } == json.loads(request.body)
    assert ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "7", "step", "2") == tuple(
        request.headers[name]
        for name in ("x-run-id", "x-inngest-generation-id", "x-inngest-step-id", "x-inngest-req-version")
    )


def test_the_calls_of_a_run_are_one_trace_with_a_span_each() -> None:
    first, again = call(RunState([EVENT], [], [])), call(RunState([EVENT], [], []))
    other = write_traceparent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "run:discover:aa", 8)
    version, trace, span, flags = first.headers["traceparent"].split("-")

    assert ("00", "01563e3ab5d3d6764c61efb99302bd5b", "01") == (version, trace, flags)
    assert (16, first.headers) == (len(span), again.headers)
    assert (trace, True) == (other.split("-")[1], span != other.split("-")[2])


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_the_body_is_canonical_as_it_is_joined(size: int) -> None:
    memos = sorted((f"{n:040x}", b'{"data":{"a":1,"b":"\xc3\xa9"}}') for n in range(size))
    body = call(RunState([EVENT], memos, [step for step, _ in memos])).body

    assert canonicalize(body) == body


def test_a_call_is_signed_over_exactly_its_bytes() -> None:
    key = "signkey-test-00ff"
    request = call(RunState([EVENT], [], []), key=key)

    assert key == verify(request.body, request.headers["x-inngest-signature"], [key], NOW)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL, "http://app/api/inngest?fnId=a-f&stepId=abc"),
        ("http://app/?stepId=step&fnId=a-f", "http://app/?fnId=a-f&stepId=abc"),
        ("http://app/?fnId=a-f", "http://app/?fnId=a-f&stepId=abc"),
        ("http://app/?fnId=%C3%A9&stepId=step", "http://app/?fnId=%C3%A9&stepId=abc"),
    ],
)
def test_the_target_replaces_the_step_in_the_url(url: str, expected: str) -> None:
    targeted = Work("run:step:abc", "step", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "abc", 0, 1, NOW)

    assert expected == call(RunState([EVENT], [], []), targeted, url).url


def test_large_memos_are_left_for_the_app_to_fetch() -> None:
    body = json.loads(call(RunState([EVENT], [("aa", b'"%s"' % (b"x" * (4 << 20)))], ["aa"])).body)

    assert (True, True, {}, 1) == (body["use_api"], body["ctx"]["use_api"], body["steps"], len(body["events"]))
    assert ["aa"] == body["ctx"]["stack"]["stack"]


def test_large_events_are_left_out_too_but_for_the_first() -> None:
    large = b'{"data":"%s","name":"x"}' % (b"x" * (3 << 20))
    body = json.loads(call(RunState([large, large], [], [])).body)

    assert (True, [], "x") == (body["use_api"], body["events"], body["event"]["name"])
