"""The request that calls a function (executor.md 4.3). No I/O."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from stepserve_core import _protocol
from stepserve_core._signature import sign
from stepserve_core.executor import limits
from stepserve_core.executor.decisions import RunFacts, Work
from stepserve_core.executor.trace_context import write_traceparent

ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"
ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"
_STATE_IN_BODY = limits.CALL_BODY - 1024


class RunState(msgspec.Struct, frozen=True):
    """What a call carries: trigger events and memos, all canonical JSON. `memos` are (hash, memo) in order of hash;
    `stack` has the hashes in the order in which the steps finished, `defers` what the run has deferred."""

    events: Sequence[bytes]
    memos: Sequence[tuple[str, bytes]]
    stack: Sequence[str]
    defers: bytes = b"{}"


class CallRequest(msgspec.Struct, frozen=True):
    """A request to an app."""

    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


def build_call(
    work: Work, run: RunFacts, state: RunState, url: str, *, request_id: str, signing_key: str | None, now: float
) -> CallRequest:
    """Return the call for a claimed item. `url` is the registered one of the function."""
    body = _build_body(work, run, state, request_id)
    headers = {
        "account-id": ACCOUNT_ID,
        "content-type": "application/json",
        "user-agent": "Inngest",
        "x-run-id": run.id,
        _protocol.REQUEST_ID: request_id,
        _protocol.JOB_ID: work.id,
        _protocol.REQ_VERSION: str(run.request_version),
        "x-inngest-generation-id": str(work.generation),
        "x-inngest-step-id": work.step or "step",
        "traceparent": write_traceparent(run.id, work.id, work.generation),
    }
    if signing_key is not None:
        headers["x-inngest-signature"] = sign(body, signing_key, int(now))
    return CallRequest(_target(url, work.step), headers, body)


def _build_body(work: Work, run: RunFacts, state: RunState, request_id: str) -> bytes:
    """Join the parts that are stored canonical; above the size limit the app fetches them (use_api)."""
    steps = b",".join([b'"%s":%s' % (step.encode(), memo) for step, memo in state.memos])
    use_api = len(steps) > _STATE_IN_BODY
    body = _join_body(work, run, state, request_id, None if use_api else steps, with_events=True)
    if len(body) > limits.CALL_BODY:
        body = _join_body(work, run, state, request_id, None, with_events=False)
    return body


def _join_body(
    work: Work, run: RunFacts, state: RunState, request_id: str, steps: bytes | None, *, with_events: bool
) -> bytes:
    flag = b"true" if steps is None else b"false"
    events = b",".join(state.events) if with_events else b""
    return b'{"ctx":%s,"defers":%s,"event":%s,"events":[%s],"steps":{%s},"use_api":%s,"version":%d}' % (
        _join_context(work, run, state, request_id, flag),
        state.defers,
        state.events[0],
        events,
        steps or b"",
        flag,
        run.request_version,
    )


def _join_context(work: Work, run: RunFacts, state: RunState, request_id: str, use_api: bytes) -> bytes:
    # Job ids are ASCII; user text never comes here, so plain formatting gives canonical JSON.
    stack = '","'.join(state.stack)
    stack = f'"{stack}"' if stack else ""
    queue_item = base64.b64encode(f"{work.id}::default".encode()).decode()
    return (
        f'{{"attempt":{work.attempt},"disable_immediate_execution":{"true" if run.force_plan else "false"},"env":"",'
        f'"fn_id":"{run.function_id}","generation_id":{work.generation},"job_id":"{work.id}",'
        f'"max_attempts":{run.max_attempts},"qi_id":"{queue_item}","request_id":"{request_id}","run_id":"{run.id}",'
        f'"stack":{{"current":{len(state.stack)},"stack":[{stack}]}},"step_id":"step",'
        f'"use_api":{use_api.decode()}}}'
    ).encode()


def _target(url: str, step: str | None) -> str:
    """Put the hash of the targeted step into the query, or `step` where there is none."""
    if step is None and url.endswith("&stepId=step"):
        return url
    if url.endswith("&stepId=step"):
        return f"{url[: -len('step')]}{step}"
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "stepId"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("stepId", step or "step")])))
