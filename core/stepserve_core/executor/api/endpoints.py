"""Durable endpoints: runs that an app begins itself, and the results that its clients fetch (executor.md 8)."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._endpoint_answer import JSON_HEADERS, Plain
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import HttpError, envelope, executor_of, json_response, read_body, require_key
from stepserve_core.executor.checkpoints import CheckpointRefusedError
from stepserve_core.executor.endpoint_requests import EndpointAnswer
from stepserve_core.executor.endpoints import open_run, save_steps
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.json_web_token import TokenInvalidError, read_claims, sign_claims
from stepserve_core.executor.realtime.tokens import STREAM, STREAM_LIFE, Topic, make_token
from stepserve_core.executor.store.runs import RunRow

ISSUER = "api.inngest.com"
LIFE = 3600
"""Seconds that a token for the result of a run is good."""

PATIENCE = 300.0
"""Seconds that a client waits for the result of a run."""

PAUSE = 0.1
"""Seconds between two looks whether a run has ended."""

_STRIPPED = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "upgrade"})
"""Headers of a recorded answer that belong to the connection over which it once went."""


class Claims(msgspec.Struct, frozen=True):
    """What a token for a run's result says."""

    iss: str
    exp: int
    run_id: str


class _Steps(msgspec.Struct):
    steps: msgspec.Raw = msgspec.Raw(b"null")


async def begin(request: Request) -> Response:
    """`POST /v1/checkpoint`: begin a run that the app is executing."""
    require_key(request)
    body = await read_body(request, limits.CHECKPOINT_BODY)
    executor = executor_of(request)
    try:
        opened, has_steps = await open_run(executor, body)
    except CheckpointRefusedError as refusal:
        raise HttpError(refusal.status, str(refusal)) from None
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"Invalid request body: {error}") from None
    now = executor.clock.now()
    data = msgspec.structs.asdict(opened)
    topics = [Topic(STREAM, opened.run_id)]
    data["realtime_token"] = make_token(executor.realtime.secret, topics, now, life=STREAM_LIFE)
    if has_steps:
        data["token"] = sign_claims(_secret(executor), Claims(ISSUER, int(now) + LIFE, opened.run_id))
    return envelope(request, data)


async def save(request: Request) -> Response:
    """`POST /v1/checkpoint/{id}/steps`: save steps of a run that the app is executing, or let it go on here."""
    require_key(request)
    body = await read_body(request, limits.CHECKPOINT_BODY)
    try:
        given = msgspec.json.decode(body, type=_Steps)
        await save_steps(executor_of(request), request.path_params["id"], given.steps)
    except CheckpointRefusedError as refusal:
        raise HttpError(refusal.status, str(refusal)) from None
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"Invalid request body: {error}") from None
    return Response(status_code=200)


async def get_output(request: Request) -> Response:
    """`GET /v1/checkpoint/{id}/output?token=`: wait for the end of a run, and answer what its endpoint answered."""
    executor, run_id = executor_of(request), request.path_params["id"]
    try:
        claims = read_claims(_secret(executor), request.query_params.get("token", ""), Claims)
    except TokenInvalidError:
        claims = None
    now = executor.clock.now()
    if claims is None or claims.iss != ISSUER or claims.run_id != run_id or claims.exp <= now:
        raise HttpError(401, "Unable to find run with auth token")
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        run = await executor.read(lambda tables: tables.runs.get(run_id))
        if run is None:
            raise HttpError(404, "run not found")
        answer = recorded_answer(run)
        if answer is not None:
            return Response(answer.body, answer.status, answer.headers)
        if asyncio.get_running_loop().time() >= deadline or await request.is_disconnected():
            return json_response({"status": "running", "message": "run did not end within 5 minutes"})
        await asyncio.sleep(PAUSE)


def _secret(executor: Executor) -> bytes:
    return b"endpoint:" + executor.realtime.secret


def recorded_answer(run: RunRow) -> Plain | None:
    """Return how an endpoint answered; an output that is no answer goes out as it is. None if the run has not ended."""
    if run.ended_at is None:
        return None
    if run.status == "Cancelled":
        error = {"error": "the run was cancelled: it has no result", "data": None, "status": 410}
        return Plain(410, JSON_HEADERS, msgspec.json.encode(error))
    output = run.output or b"null"
    try:
        answer = msgspec.json.decode(output, type=EndpointAnswer)
        body = answer.content()
    except msgspec.DecodeError:
        return Plain(200 if run.status == "Completed" else 500, JSON_HEADERS, output)
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in _STRIPPED}
    return Plain(answer.status, headers, body)
